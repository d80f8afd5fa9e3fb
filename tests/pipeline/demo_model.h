// What tests of runs on the demo model share: its text, a cache of its own, and a stop at a chosen place.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "model/text/corpus.h"
#include "pipeline/small_model.h"

namespace tessera::testing {

inline const std::filesystem::path kDemoModel = TESSERA_TESTDATA "/demo-model";
inline const std::filesystem::path kDemoText = TESSERA_TESTDATA "/demo.txt";

/// A few short windows of the demo text.
inline model::CorpusSettings short_corpus(std::uint32_t windows) {
  return {.files = {{kDemoText}}, .context = 32, .samples = windows};
}

/// Points the cache of this process to a folder that is removed at the end.
class OwnCache {
 public:
  OwnCache() { ::setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1); }

 private:
  ScratchFolder folder_;
};

/// Does something when the `items`-th item of the stage is done.
class ActInStage : public ProgressObserver {
 public:
  ActInStage(std::string stage, int items, std::function<void()> action)
      : stage_(std::move(stage)), left_(items), action_(std::move(action)) {}
  void begin(std::string_view stage, std::uint64_t) override { inside_ = stage == stage_; }
  void advance(std::uint64_t) override {}
  void item_done(std::string_view) override {
    if (inside_ && --left_ == 0) action_();
  }
  void end() override { inside_ = false; }
  void note(std::string_view) override {}
  void warn(std::string_view) override {}

 private:
  std::string stage_;
  int left_;
  std::function<void()> action_;
  bool inside_ = false;
};

/// Asks for a stop then.
class StopInStage final : public ActInStage {
 public:
  StopInStage(std::string stage, int items)
      : ActInStage(std::move(stage), items, [this] { stop.request(); }) {}

  StopFlag stop;
};

}  // namespace tessera::testing
