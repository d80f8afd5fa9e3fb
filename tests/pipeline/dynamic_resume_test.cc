// Dynamic runs that are stopped or killed in any phase: the same command goes on and ends with the same
// bytes, and nothing stays beside the output.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "foundation/base/error.h"
#include "pipeline/dynamic_run.h"
#include "pipeline/killed_process.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::ChildEnd;
using tessera::testing::DynamicRun;
using tessera::testing::read_whole;
using tessera::testing::run_and_kill_at;
using tessera::testing::StopInStage;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

/// A step of a run: that many items of the stage are done.
struct Step {
  const char* stage;
  int items;
};

const std::vector<Step> kSteps = {{"calibrating", 1},   {"calibrating", 3}, {"sensitivities", 1},
                                  {"sensitivities", 6}, {"quantize", 1},    {"quantize", 20}};

class ResumedDynamicRun : public DynamicRun {
 protected:
  ResumedDynamicRun() {
    auto whole = job();
    whole.output = folder_ / "whole.gguf";
    expected_ = bytes_of(whole);
    std::filesystem::remove(whole.output);
    EXPECT_THAT(folder_.names(), IsEmpty());
  }

  QuantizeSettings job() const {
    auto job = settings();
    job.encode.threads = 1;
    job.walks.use_cache = false;
    job.checkpoints.interval = std::chrono::milliseconds(0);
    return job;
  }

  void expect_the_same_from_the_same_command() {
    EXPECT_EQ(bytes_of(job()), expected_);
    EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
    std::filesystem::remove(job().output);
  }

  std::string expected_;
};

TEST_F(ResumedDynamicRun, EndsWithTheSameBytesAfterAStopInAnyPhase) {
  for (const auto& [stage, items] : kSteps) {
    SCOPED_TRACE(stage + std::to_string(items));
    StopInStage progress(stage, items);
    EXPECT_THROW(quantize(job(), progress, progress.stop), InterruptedError);
    EXPECT_FALSE(std::filesystem::exists(job().output));
    expect_the_same_from_the_same_command();
  }
}

TEST_F(ResumedDynamicRun, GoesOnFromTheLayerWhereItStopped) {
  StopInStage progress("sensitivities", 6);
  EXPECT_THROW(quantize(job(), progress, progress.stop), InterruptedError);
  EXPECT_THAT(folder_.names(), ElementsAre("out.gguf.work"));
  // Six of the nine steps are done, so that the fourth from here never comes.
  StopInStage next("sensitivities", 4);
  EXPECT_NO_THROW(quantize(job(), next, next.stop));
  EXPECT_EQ(read_whole(job().output), expected_);
}

TEST_F(ResumedDynamicRun, MeasuresOnAfterAStop) {
  auto measured = job();
  measured.dynamic->sensitivity = SensitivityMethod::measured;
  const auto expected = bytes_of(measured);
  std::filesystem::remove(measured.output);
  StopInStage progress("measuring", 5);
  EXPECT_THROW(quantize(measured, progress, progress.stop), InterruptedError);
  EXPECT_EQ(bytes_of(measured), expected);
  EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
}

TEST_F(ResumedDynamicRun, TakesFinishedWalksFromTheCache) {
  auto cached = job();
  cached.walks.use_cache = true;
  StopInStage progress("quantize", 5);
  EXPECT_THROW(quantize(cached, progress, progress.stop), InterruptedError);
  recorder_.stages.clear();
  EXPECT_EQ(bytes_of(cached), expected_);
  EXPECT_THAT(recorder_.stages, Not(AnyOf(Contains("calibrating"), Contains("sensitivities"))));
}

TEST_F(ResumedDynamicRun, LeavesNothingWhenItIsStoppedBeforeItBegins) {
  StopFlag stop;
  stop.request();
  EXPECT_THROW(quantize(job(), recorder_, stop), InterruptedError);
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(ResumedDynamicRun, LeavesNothingOfAnotherRunsWork) {
  StopInStage progress("sensitivities", 3);
  EXPECT_THROW(quantize(job(), progress, progress.stop), InterruptedError);
  auto other = job();
  other.walks.seed = 5;  // other labels: nothing of the walk serves it
  run(other);
  EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
}

TEST_F(ResumedDynamicRun, EndsWithTheSameBytesAfterItWasKilledInAnyPhase) {
  for (const auto& [stage, items] : kSteps) {
    SCOPED_TRACE(stage + std::to_string(items));
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      tessera::testing::ActInStage progress(stage, items, [] { ::kill(::getpid(), SIGKILL); });
      quantize(job(), progress, never_);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    expect_the_same_from_the_same_command();
  }
}

TEST_F(ResumedDynamicRun, EndsWithTheSameBytesAfterItWasKilledBetweenFileOperations) {
  ChildEnd end = ChildEnd::killed;
  for (std::size_t operation = 60; end != ChildEnd::completed; operation = operation * 3 / 2) {
    SCOPED_TRACE(operation);
    end = run_and_kill_at(operation, [&] {
      SilentProgress silent;
      quantize(job(), silent, never_);
    });
    if (end == ChildEnd::not_traceable) GTEST_SKIP() << "this system does not allow tracing";
    if (end == ChildEnd::killed) expect_the_same_from_the_same_command();
  }
}

}  // namespace
}  // namespace tessera::pipeline
