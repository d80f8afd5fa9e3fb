// A progress observer that remembers what a run says.
#pragma once

#include <string>
#include <vector>

#include "foundation/base/progress.h"

namespace tessera::testing {

class MessageRecorder final : public ProgressObserver {
 public:
  void begin(std::string_view stage, std::uint64_t total_bytes) override {
    stages.emplace_back(stage);
    total = total_bytes;
  }
  void advance(std::uint64_t) override {}
  void item_done(std::string_view) override {}
  void end() override {}
  void note(std::string_view message) override { notes.emplace_back(message); }
  void warn(std::string_view message) override { warnings.emplace_back(message); }

  std::vector<std::string> stages, notes, warnings;
  std::uint64_t total = 0;
};

}  // namespace tessera::testing
