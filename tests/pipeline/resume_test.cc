// Interrupted and killed runs: what stays, and that going on ends with the same bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "foundation/base/error.h"
#include "pipeline/quantize.h"
#include "pipeline/run_report.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::importance_for;
using tessera::testing::read_whole;
using tessera::testing::ScratchFolder;
using tessera::testing::SmallModel;
using tessera::testing::write_model;
using tessera::testing::write_whole;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Does something when a given number of tensors is finished, or of chunks when `by_chunk`.
class ActAfter final : public ProgressObserver {
 public:
  ActAfter(int count, bool by_chunk, std::function<void()> action)
      : left_(count), by_chunk_(by_chunk), action_(std::move(action)) {}
  void begin(std::string_view, std::uint64_t) override {}
  void advance(std::uint64_t) override { count(by_chunk_); }
  void item_done(std::string_view line) override {
    items.emplace_back(line);
    count(!by_chunk_);
  }
  void end() override {}
  void note(std::string_view message) override { notes.emplace_back(message); }
  void warn(std::string_view message) override { warnings.emplace_back(message); }

  std::vector<std::string> items;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;

 private:
  void count(bool counts) {
    if (counts && --left_ == 0) action_();
  }

  int left_;
  bool by_chunk_;
  std::function<void()> action_;
};

ActAfter plain_observer() { return {-1, false, nullptr}; }

class Resume : public ::testing::Test {
 protected:
  Resume() {
    write_model(folder_ / "model.gguf", {.layers = 1, .rows = 64});
    imatrix::write_imatrix_gguf(folder_ / "im.gguf", importance_for({.layers = 1, .rows = 64}));
    auto whole = settings();
    whole.output = folder_ / "whole.gguf";
    auto observer = plain_observer();
    expected_report_ = to_json(quantize(whole, observer, never_));
    expected_ = read_whole(whole.output);
    std::filesystem::remove(whole.output);
  }

  QuantizeSettings settings() const {
    QuantizeSettings result;
    result.model = folder_ / "model.gguf";
    result.output = folder_ / "out.gguf";
    result.imatrix = folder_ / "im.gguf";
    result.type = "Q8_0";
    result.encode.threads = 1;
    result.encode.chunk_weights = 4096;  // four chunks per matrix
    result.checkpoints.interval = std::chrono::milliseconds(0);
    return result;
  }

  /// Runs in a process of its own, which SIGKILL ends.
  void run_killed(const QuantizeSettings& settings, int count, bool by_chunk) const {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ActAfter observer(count, by_chunk, [] { ::kill(::getpid(), SIGKILL); });
      quantize(settings, observer, never_);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
  }

  void interrupt(const QuantizeSettings& settings, int tensors) const {
    StopFlag stop;
    ActAfter observer(tensors, false, [&stop] { stop.request(); });
    EXPECT_THROW(quantize(settings, observer, stop), InterruptedError);
  }

  void expect_whole(const QuantizeSettings& settings) const {
    EXPECT_EQ(read_whole(settings.output), expected_);
    EXPECT_THAT(folder_.names(), ElementsAre("im.gguf", "model.gguf", "out.gguf"));
  }

  ScratchFolder folder_;
  StopFlag never_;
  std::string expected_;
  nlohmann::json expected_report_;
};

TEST_F(Resume, AnInterruptedRunGoesOnWhereItStopped) {
  interrupt(settings(), 4);
  EXPECT_THAT(folder_.names(), ElementsAre("im.gguf", "model.gguf", "out.gguf.journal", "out.gguf.partial"));
  auto observer = plain_observer();
  const auto report = quantize(settings(), observer, never_);
  expect_whole(settings());
  EXPECT_THAT(observer.notes, ElementsAre(HasSubstr("4 of 11 tensors")));
  EXPECT_EQ(observer.items.size(), 7u);
  EXPECT_EQ(to_json(report).at("plan"), expected_report_.at("plan"));
}

TEST_F(Resume, ARunKilledAfterAnyTensorEndsWithTheSameBytes) {
  for (int tensors = 1; tensors <= 11; ++tensors) {
    run_killed(settings(), tensors, false);
    auto observer = plain_observer();
    quantize(settings(), observer, never_);
    expect_whole(settings());
    // The journal is written before a tensor is reported, so everything reported before the kill stays done.
    EXPECT_EQ(observer.items.size(), 11u - static_cast<unsigned>(tensors)) << tensors;
    std::filesystem::remove(settings().output);
  }
}

TEST_F(Resume, ARunKilledInTheMiddleOfATensorEndsWithTheSameBytes) {
  for (const int chunks : {1, 2, 7, 14, 23}) {
    run_killed(settings(), chunks, true);
    auto observer = plain_observer();
    quantize(settings(), observer, never_);
    expect_whole(settings());
    std::filesystem::remove(settings().output);
  }
}

TEST_F(Resume, ARunKilledAgainAndAgainEndsWithTheSameBytes) {
  for (int kill = 0; kill < 3; ++kill) run_killed(settings(), 2, false);
  auto observer = plain_observer();
  quantize(settings(), observer, never_);
  expect_whole(settings());
  EXPECT_EQ(observer.items.size(), 5u);
}

TEST_F(Resume, SplitOutputsGoOnToo) {
  auto split = settings();
  split.write.split_max_bytes = 60'000;
  split.output = folder_ / "parts.gguf";
  auto observer = plain_observer();
  const auto files = quantize(split, observer, never_).files;
  ASSERT_GT(files.size(), 2u);
  std::vector<std::string> bytes;
  for (const auto& file : files) {
    bytes.push_back(read_whole(file.path));
    std::filesystem::remove(file.path);
  }
  interrupt(split, 5);
  auto second = plain_observer();
  quantize(split, second, never_);
  EXPECT_EQ(second.items.size(), 6u);
  for (std::size_t i = 0; i < files.size(); ++i) EXPECT_EQ(read_whole(files[i].path), bytes[i]);
}

TEST_F(Resume, OtherOptionsStartOver) {
  auto other = settings();
  other.overrides = {{"ffn_up", ElementType::Q4_0}};
  interrupt(other, 4);
  auto observer = plain_observer();
  quantize(settings(), observer, never_);
  expect_whole(settings());
  EXPECT_EQ(observer.items.size(), 11u);
  EXPECT_THAT(observer.warnings, ElementsAre(HasSubstr("starting over")));
}

TEST_F(Resume, AChangedModelStartsOver) {
  interrupt(settings(), 4);
  write_model(folder_ / "model.gguf",
              {.layers = 1, .rows = 64});  // the same bytes, but how would the run know
  std::filesystem::last_write_time(folder_ / "model.gguf",
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  auto observer = plain_observer();
  quantize(settings(), observer, never_);
  expect_whole(settings());
  EXPECT_EQ(observer.items.size(), 11u);
}

TEST_F(Resume, NoResumeStartsOver) {
  interrupt(settings(), 4);
  auto fresh = settings();
  fresh.checkpoints.resume = false;
  auto observer = plain_observer();
  quantize(fresh, observer, never_);
  expect_whole(fresh);
  EXPECT_EQ(observer.items.size(), 11u);
}

TEST_F(Resume, DamagedJournalsAndLostPartialFilesStartOver) {
  const std::string journal = folder_ / "out.gguf.journal";
  const std::string partial = folder_ / "out.gguf.partial";
  const std::vector<std::function<void()>> damages = {
      [&] { write_whole(journal, "not a journal\n"); },
      [&] {
        write_whole(journal, read_whole(journal) + R"({"tensor":99,"error":0})"
                                                   "\n");
      },
      [&] { write_whole(journal, read_whole(journal) + "{\"tensor\":"); },
      [&] { std::filesystem::remove(partial); },
      [&] { std::filesystem::resize_file(partial, 1000); },
  };
  for (const auto& damage : damages) {
    interrupt(settings(), 4);
    damage();
    auto observer = plain_observer();
    quantize(settings(), observer, never_);
    expect_whole(settings());
    EXPECT_EQ(observer.items.size(), 11u);
    std::filesystem::remove(settings().output);
  }
}

TEST_F(Resume, AnInterruptionBeforeTheFirstTensorLeavesNothing) {
  StopFlag stop;
  stop.request();
  auto observer = plain_observer();
  EXPECT_THROW(quantize(settings(), observer, stop), InterruptedError);
  EXPECT_THAT(folder_.names(), ElementsAre("im.gguf", "model.gguf"));
}

TEST_F(Resume, AFailingRunLeavesNothingEvenAfterCheckpoints) {
  SmallModel damaged{.layers = 1, .rows = 64};
  damaged.edit = [](const std::string& name, std::vector<float>& weights) {
    if (name == "blk.0.ffn_down.weight") weights[100] = std::numeric_limits<float>::quiet_NaN();
  };
  write_model(folder_ / "model.gguf", damaged);
  auto observer = plain_observer();
  EXPECT_THROW(quantize(settings(), observer, never_), BadFileError);
  EXPECT_GT(observer.items.size(), 5u);
  EXPECT_THAT(folder_.names(), ElementsAre("im.gguf", "model.gguf"));
}

}  // namespace
}  // namespace tessera::pipeline
