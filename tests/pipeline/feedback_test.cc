// Runs with error feedback on the demo model, from the model to the file: what they write, report and refuse,
// and that a stopped or killed run goes on and ends with the same bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "pipeline/dynamic_run.h"
#include "pipeline/run_report.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::DynamicRun;
using tessera::testing::kDemoModel;
using tessera::testing::kDemoText;
using tessera::testing::read_whole;
using tessera::testing::short_corpus;
using tessera::testing::StopInStage;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class FeedbackRun : public DynamicRun {
 protected:
  QuantizeSettings job(const std::string& type = "Q2_K") const { return feedback_settings(kDemoModel, type); }

  void expect_refused(const QuantizeSettings& job, const std::string& reason) {
    try {
      run(job);
      FAIL();
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr(reason));
    }
    EXPECT_THAT(folder_.names(), IsEmpty());
  }
};

TEST_F(FeedbackRun, EncodesEveryMatrixOfTheLayersAndSaysHowWell) {
  const auto report = run(job());
  ASSERT_EQ(report.feedback.size(), 4 * 7u);
  for (const auto& [tensor, outcome] : report.feedback) {
    EXPECT_TRUE(report.plan.tensors[tensor].place.layer);
    EXPECT_LT(outcome.ratio(), 0.9) << report.plan.tensors[tensor].source.name;
    EXPECT_EQ(report.errors[tensor].sums, outcome.error.sums);
    EXPECT_GT(report.errors[tensor].relative(), 0);
  }
  EXPECT_EQ(report.settings.at("encoder"), "feedback sweeps=2 damping=0.02 sequential=true");
}

TEST_F(FeedbackRun, WritesTheTypesOfThePlanAndNamesTheEncoder) {
  run(job("IQ2_XS"));  // which the plain encoder refuses without an importance matrix
  const auto tensors = tensors_in(job().output);
  EXPECT_EQ(tensors.at("blk.2.ffn_down.weight").first, ElementType::IQ2_XS);
  EXPECT_EQ(tensors.at("token_embd.weight").first, ElementType::F16);
  const auto gguf = gguf::open_gguf(job().output);
  EXPECT_THAT(gguf->metadata().text("tessera.encoder").value(), HasSubstr("feedback"));
}

TEST_F(FeedbackRun, EncodesAnOutputOfItsOwn) {
  auto whole = job();
  whole.output_type = ElementType::Q4_K;
  const auto report = run(whole);
  EXPECT_EQ(report.feedback.size(), 4 * 7u + 1);
  EXPECT_EQ(tensors_in(whole.output).at("output.weight").first, ElementType::Q4_K);
}

TEST_F(FeedbackRun, HasTheSameBytesForAnyNumberOfThreads) {
  for (const auto precision : kernels::available_precisions()) {
    auto one = job("IQ3_XXS"), three = job("IQ3_XXS");
    one.walks.precision = three.walks.precision = precision;
    one.encode.threads = 1;
    three.encode.threads = 3;
    EXPECT_EQ(bytes_of(one), bytes_of(three));
  }
}

TEST_F(FeedbackRun, InSequenceIsAnotherResultThanLayerForItself) {
  auto parallel = job();
  parallel.feedback->sequential = false;
  EXPECT_NE(bytes_of(job()), bytes_of(parallel));
}

TEST_F(FeedbackRun, KeepsTheHessiansOnRequest) {
  auto keeping = job();
  keeping.feedback->keep_hessians = folder_ / "hessians";
  run(keeping);
  const auto file = gguf::open_gguf(folder_ / "hessians/blk.1.ffn_down.weight.hessian.gguf");
  EXPECT_EQ(file->tensors()[0].shape, (std::vector<std::uint64_t>{768, 768}));
  EXPECT_EQ(file->tensors()[1].name, "drift");
}

TEST_F(FeedbackRun, ReportsItsFigures) {
  const auto report = to_json(run(job()));
  const auto& tensors = report.at("plan").at("tensors");
  const auto found = std::ranges::find_if(
      tensors, [](const auto& tensor) { return tensor.at("name") == "blk.0.attn_q.weight"; });
  EXPECT_LT(found->at("feedback").at("output_error_ratio"), 0.9);
  EXPECT_EQ(found->at("feedback").at("plain_rows"), 0);
}

TEST_F(FeedbackRun, WarnsOfASingleShortText) {
  run(job());
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("texts of several kinds")));
}

TEST_F(FeedbackRun, DoesNotWarnOfSeveralTexts) {
  auto mixed = job();
  mixed.walks.corpus.files.push_back({kDemoText});
  run(mixed);
  EXPECT_THAT(recorder_.warnings, Not(Contains(HasSubstr("texts of several kinds"))));
}

TEST_F(FeedbackRun, IsRefusedWithoutTexts) {
  auto blind = job();
  blind.walks.corpus.files.clear();
  expect_refused(blind, "-f TEXT");
}

TEST_F(FeedbackRun, LearnsFromASingleWindow) {
  auto single = job();
  single.walks.corpus = short_corpus(1);
  for (const auto& [tensor, outcome] : run(single).feedback) EXPECT_LE(outcome.ratio(), 1);
}

class ResumedFeedbackRun : public FeedbackRun {
 protected:
  ResumedFeedbackRun() : expected_(bytes_of(job())) { std::filesystem::remove(job().output); }

  void expect_the_same_from_the_same_command() {
    EXPECT_EQ(bytes_of(job()), expected_);
    EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
    std::filesystem::remove(job().output);
  }

  std::string expected_;
};

/// Items of the stage are tensors and, behind those of each, layers: 32 of them.
constexpr int kItems[] = {1, 5, 8, 9, 20, 31};

TEST_F(ResumedFeedbackRun, EndsWithTheSameBytesAfterAStopAnywhere) {
  for (const int items : kItems) {
    SCOPED_TRACE(items);
    StopInStage progress("error feedback", items);
    EXPECT_THROW(quantize(job(), progress, progress.stop), InterruptedError);
    EXPECT_FALSE(std::filesystem::exists(job().output));
    expect_the_same_from_the_same_command();
  }
}

TEST_F(ResumedFeedbackRun, GoesOnFromTheLayerWhereItStopped) {
  StopInStage progress("error feedback", 20);
  EXPECT_THROW(quantize(job(), progress, progress.stop), InterruptedError);
  StopInStage next("error feedback", 17);  // two of four layers are left: 16 items
  EXPECT_NO_THROW(quantize(job(), next, next.stop));
  EXPECT_EQ(read_whole(job().output), expected_);
}

TEST_F(ResumedFeedbackRun, StartsOverWithOtherSettings) {
  StopInStage progress("error feedback", 20);
  EXPECT_THROW(quantize(job(), progress, progress.stop), InterruptedError);
  auto other = job();
  other.feedback->damping = 0.05;
  run(other);
  EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
  EXPECT_NE(read_whole(other.output), expected_);
}

TEST_F(ResumedFeedbackRun, EndsWithTheSameBytesAfterItWasKilledAnywhere) {
  for (const int items : kItems) {
    SCOPED_TRACE(items);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto alone = job();
      alone.encode.threads = 1;  // OpenMP's threads do not survive a fork
      tessera::testing::ActInStage progress("error feedback", items, [] { ::kill(::getpid(), SIGKILL); });
      quantize(alone, progress, never_);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    expect_the_same_from_the_same_command();
  }
}

}  // namespace
}  // namespace tessera::pipeline
