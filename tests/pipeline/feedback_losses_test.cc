// Losses with error feedback: shares of the plain encoder's on the demo model, and dynamic plans made of
// them.
#include "pipeline/feedback_losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "model/architecture/kept_tensors.h"
#include "pipeline/dynamic_run.h"
#include "pipeline/run_report.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::DynamicRun;
using tessera::testing::kDemoModel;
using tessera::testing::StopInStage;
using tessera::testing::write_whole;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::Le;
using ::testing::Lt;
using ::testing::Not;
using enum ElementType;

const std::vector<ElementType> kFewTypes = {Q2_K, Q4_K};

class FeedbackLosses : public DynamicRun {
 protected:
  FeedbackLosses() {
    walks_ = settings().walks;
    walks_.use_cache = false;
    const auto tensors = model_.weights->tensors();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (model::may_be_quantized(tensors[i])) candidates_.push_back({i, kFewTypes});
    }
  }

  TextWalkJob walk(int threads = 2) const {
    return {.path = kDemoModel, .model = model_, .open = open_, .settings = walks_, .threads = threads};
  }

  FeedbackShares shares(int threads = 2) {
    return feedback_shares(walk(threads), feedback_, candidates_, marginals_, recorder_, never_);
  }

  std::string name(std::size_t candidate) const {
    return model_.weights->tensors()[candidates_[candidate].tensor].name;
  }

  /// A dynamic quantization with feedback, of few candidates so that it takes little time.
  QuantizeSettings job() const {
    auto job = settings();
    job.dynamic->policy.candidates = {IQ2_XXS, Q3_K, Q6_K};
    job.feedback = feedback_;
    job.walks.feedback_samples = 4;
    return job;
  }

  TextWalkSettings walks_;
  model::OpenSettings open_;
  model::OpenedModel model_ = model::open_model(kDemoModel);
  FeedbackSettings feedback_;
  std::vector<TensorCandidates> candidates_;
  CalibrationStatistics marginals_;
};

TEST_F(FeedbackLosses, AreAShareOfThePlainOnesInEveryBlockFormat) {
  const std::vector<ElementType> types = {IQ1_S, IQ2_XXS, Q2_K, IQ3_S, Q4_K, F16};
  for (auto& candidate : candidates_) candidate.types = types;
  const auto found = shares();
  ASSERT_EQ(found.size(), candidates_.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].size(), types.size());
    if (name(i) == "token_embd.weight") {
      EXPECT_THAT(found[i], Each(1.0));
      continue;
    }
    EXPECT_EQ(found[i].back(), 1) << name(i);  // no block format
    EXPECT_THAT(std::span(found[i]).first(types.size() - 1), Each(AllOf(Gt(0.0), Lt(0.9)))) << name(i);
  }
}

TEST_F(FeedbackLosses, AreTheSameForAnyNumberOfThreads) {
  const auto expected = shares(1);
  EXPECT_EQ(shares(3), expected);
}

TEST_F(FeedbackLosses, FollowTheSettingsOfTheFeedbackAndTheSeed) {
  const auto expected = shares();
  feedback_.sweeps = 0;
  EXPECT_NE(shares(), expected);
  feedback_ = {};
  feedback_.damping = 0.5;
  EXPECT_NE(shares(), expected);
  feedback_ = {};
  walks_.seed = 9;
  EXPECT_NE(shares(), expected);
}

TEST_F(FeedbackLosses, AreTakenOfTheRowsThatMatter) {
  const auto expected = shares();
  for (auto& candidate : candidates_) {
    const auto& tensor = model_.weights->tensors()[candidate.tensor];
    auto& marginals = marginals_[tensor.name];
    marginals.row_sums.assign(tensor.rows(), 0.0);
    marginals.row_sums[7] = 1;
  }
  const auto of_one_row = shares();
  EXPECT_NE(of_one_row, expected);
  for (const auto& of_tensor : of_one_row) EXPECT_THAT(of_tensor, Each(AllOf(Gt(0.0), Le(1.0))));
}

TEST_F(FeedbackLosses, ComeFromTheCacheWithoutAWalk) {
  const auto expected = shares();
  walks_.use_cache = true;
  EXPECT_EQ(shares(), expected);
  recorder_.stages.clear();
  EXPECT_EQ(shares(1), expected);
  EXPECT_THAT(recorder_.stages, Not(Contains("feedback losses")));
  candidates_.back().types.pop_back();
  shares();
  EXPECT_THAT(recorder_.stages, Contains("feedback losses"));
}

TEST_F(FeedbackLosses, GoOnAfterAStopAtAnyLayer) {
  const auto expected = shares();
  walks_.checkpoint = folder_ / "checkpoint";
  for (const int layers : {1, 2, 4}) {
    StopInStage progress("feedback losses", layers);
    EXPECT_THROW(feedback_shares(walk(), feedback_, candidates_, marginals_, progress, progress.stop),
                 InterruptedError);
    // As many layers as are left, and no more.
    StopInStage rest("feedback losses", 4 - layers + 1);
    EXPECT_EQ(feedback_shares(walk(), feedback_, candidates_, marginals_, rest, rest.stop), expected);
  }
}

TEST_F(FeedbackLosses, AreLossesTimesShares) {
  const Sensitivity plain{SensitivityMethod::measured,
                          {{name(0), {{Q2_K, 2.0}, {Q4_K, 0.5}}}, {"x", {{Q2_K, 3.0}}}}};
  const std::vector<TensorCandidates> candidates = {{candidates_[1].tensor, {Q2_K}},
                                                    {candidates_[0].tensor, {IQ1_S, Q2_K, Q4_K}}};
  const auto result = with_feedback(plain, *model_.weights, candidates, {{0.1}, {0.2, 0.25, 0.5}});
  EXPECT_EQ(result.method, SensitivityMethod::measured);
  EXPECT_TRUE(result.with_feedback);
  EXPECT_EQ(loss_of(result, name(0), Q2_K), 0.5);
  EXPECT_EQ(loss_of(result, name(0), Q4_K), 0.25);
  EXPECT_EQ(loss_of(result, "x", Q2_K), 3.0);
}

TEST_F(FeedbackLosses, AreLowerThanWithoutInPlansOfEitherMethod) {
  for (const auto method : {SensitivityMethod::fisher, SensitivityMethod::measured}) {
    auto with = job();
    with.dynamic->sensitivity = method;
    with.dry_run = true;
    auto without = with;
    without.feedback.reset();
    const auto lower = run(with);
    const auto higher = run(without);
    EXPECT_LT(lower.header.predicted_loss.value(), 0.9 * higher.header.predicted_loss.value());
    EXPECT_EQ(lower.header.encoder, "feedback sweeps=2 damping=0.02 sequential=true");
    EXPECT_EQ(higher.header.encoder, "");
    EXPECT_EQ(to_json(lower).at("sensitivity").at("with_feedback"), true);
    EXPECT_EQ(to_json(higher).at("sensitivity").at("with_feedback"), false);
    const auto& uniform = lower.dynamic.value().uniform;
    ASSERT_EQ(uniform.size(), higher.dynamic.value().uniform.size());
    for (std::size_t i = 0; i < uniform.size(); ++i)
      EXPECT_LT(uniform[i].loss, higher.dynamic.value().uniform[i].loss) << uniform[i].label;
    EXPECT_LT(lower.dynamic->curve.front().loss, higher.dynamic->curve.front().loss);
  }
}

TEST_F(FeedbackLosses, AreNotThoseOfThePrior) {
  auto job = this->job();
  job.dynamic->sensitivity = SensitivityMethod::prior;
  job.dry_run = true;
  const auto report = run(job);
  EXPECT_THAT(recorder_.stages, Not(Contains("feedback losses")));
  EXPECT_EQ(report.header.encoder, "");
  EXPECT_FALSE(report.dynamic.value().sensitivity.with_feedback);
}

TEST_F(FeedbackLosses, AreInThePlanThatTheFileKeeps) {
  const auto report = run(job());
  const auto file = gguf::open_gguf(job().output);
  const auto document = parse_plan(file->metadata().text("tessera.plan").value(), "tessera.plan");
  EXPECT_EQ(document.header.encoder, file->metadata().text("tessera.encoder"));
  EXPECT_EQ(document.header.predicted_loss, report.header.predicted_loss);
  auto again = job();
  again.dynamic.reset();
  again.plan_file = folder_ / "plan.yaml";
  write_whole(*again.plan_file, to_yaml(report.plan, report.header));
  again.dry_run = true;
  EXPECT_EQ(run(again).header.encoder, report.header.encoder);
}

TEST_F(FeedbackLosses, OfARunThatWasStoppedGiveTheSameFile) {
  auto job = this->job();
  job.walks.use_cache = false;
  const auto expected = bytes_of(job);
  std::filesystem::remove(job.output);
  StopInStage progress("feedback losses", 2);
  EXPECT_THROW(quantize(job, progress, progress.stop), InterruptedError);
  EXPECT_EQ(bytes_of(job), expected);
  EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
}

TEST_F(FeedbackLosses, OfAPlanThatIsGivenBackWithoutFeedbackAreWarnedOf) {
  auto planning = job();
  planning.dry_run = true;
  const auto planned = run(planning);
  QuantizeSettings encoding = settings();
  encoding.dynamic.reset();
  encoding.plan_file = folder_ / "plan.yaml";
  tessera::testing::write_whole(*encoding.plan_file, to_yaml(planned.plan, planned.header));
  recorder_.warnings.clear();
  run(encoding);
  EXPECT_THAT(recorder_.warnings, ::testing::Contains(::testing::HasSubstr("--encoder feedback")));
}

}  // namespace
}  // namespace tessera::pipeline
