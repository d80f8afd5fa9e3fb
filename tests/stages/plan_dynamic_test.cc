// Plans for small models whose losses are a formula, so that what the rules do to them is plain.
#include "stages/plan_dynamic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "artifacts/candidate_types.h"
#include "artifacts/recipe.h"
#include "foundation/base/error.h"
#include "model/architecture/kept_tensors.h"

namespace tessera::stages {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using enum ElementType;

constexpr std::uint32_t kLayers = 4;

std::vector<TensorDescriptor> dense_tensors(bool has_output = true) {
  std::vector<TensorDescriptor> tensors = {{"token_embd.weight", F16, {1024, 256}},
                                           {"output_norm.weight", F32, {256}}};
  if (has_output) tensors.push_back({"output.weight", F16, {1024, 256}});
  for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    tensors.push_back({block + "attn_norm.weight", F32, {256}});
    for (const char* stem : {"attn_q", "attn_k", "attn_v", "attn_output"})
      tensors.push_back({block + stem + ".weight", F16, {256, 256}});
    tensors.push_back({block + "ffn_up.weight", F16, {512, 256}});
    tensors.push_back({block + "ffn_down.weight", F16, {256, 512}});
  }
  return tensors;
}

/// A policy of this configuration's own rules, whose losses fall fourfold a bit.
struct Subject {
  std::vector<TensorDescriptor> tensors = dense_tensors();
  model::ModelFacts facts{"llama", kLayers, 8, 8, 0, true};
  QuantPolicy policy;
  Sensitivity sensitivity;
  bool has_importance = true;

  explicit Subject(const std::string& rules = "",
                   const std::string& candidates = "IQ2_XXS, Q3_K, Q4_K, Q6_K") {
    const std::string text = "candidates: [" + candidates + "]\n" + (rules.empty() ? "" : "rules:\n" + rules);
    policy = parse_quant_config(text, "conf.yaml").policy;
    std::erase_if(policy.rules, [](const TensorRule& rule) { return rule.place.built_in; });
  }

  void tie() {
    tensors = dense_tensors(false);
    facts.has_output = false;
  }

  void find_losses() {
    for (const auto& tensor : tensors) {
      if (!model::may_be_quantized(tensor)) continue;
      TensorSensitivity row{tensor.name, {}};
      for (const auto type : candidate_types(policy.candidates, tensor, has_importance)) {
        const double loss = 1e-6 * static_cast<double>(tensor.weights());
        row.candidates.push_back({type, loss * std::pow(4, -info(type).bits_per_weight())});
      }
      sensitivity.tensors.push_back(std::move(row));
    }
  }

  DynamicPlanResult plan_bytes(std::uint64_t budget) {
    if (sensitivity.tensors.empty()) find_losses();
    return plan_dynamic({.tensors = tensors,
                         .facts = facts,
                         .policy = policy,
                         .sensitivity = sensitivity,
                         .budget_bytes = budget,
                         .has_importance = std::vector<bool>(tensors.size(), has_importance)});
  }

  DynamicPlanResult plan(double bits) {
    std::uint64_t weights = 0;
    for (const auto& tensor : tensors) weights += tensor.weights();
    return plan_bytes(static_cast<std::uint64_t>(bits * static_cast<double>(weights) / 8));
  }
};

std::map<std::string, PlannedTensor> by_name(const DynamicPlanResult& result) {
  std::map<std::string, PlannedTensor> tensors;
  for (const auto& tensor : result.plan.tensors) tensors[tensor.source.name] = tensor;
  return tensors;
}

template <class Error>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(PlanDynamic, MeetsTheBudgetAndAddsUpTheLosses) {
  Subject subject;
  const auto result = subject.plan(4.0);
  const auto size = size_of(result.plan);
  EXPECT_LE(size.target_bpw(), 4.0);
  EXPECT_GE(size.target_bpw(), 0.995 * 4.0);
  double loss = 0;
  for (const auto& tensor : result.plan.tensors) loss += tensor.predicted_loss.value_or(0);
  EXPECT_DOUBLE_EQ(result.predicted_loss, loss);
  EXPECT_THAT(result.notes, IsEmpty());
}

TEST(PlanDynamic, KeepsWhatIsNeverQuantizedAndTheOrderOfTheFile) {
  Subject subject;
  const auto result = subject.plan(4.0);
  ASSERT_EQ(result.plan.tensors.size(), subject.tensors.size());
  for (std::size_t i = 0; i < subject.tensors.size(); ++i)
    EXPECT_EQ(result.plan.tensors[i].source, subject.tensors[i]);
  const auto norm = by_name(result)["blk.1.attn_norm.weight"];
  EXPECT_EQ(norm.target, F32);
  EXPECT_EQ(norm.reason, ChoiceReason::kept);
  EXPECT_EQ(norm.predicted_loss, std::nullopt);
}

TEST(PlanDynamic, IsNamedAfterTheTypeOfMostWeights) {
  const auto result = Subject("", "Q4_K, Q6_K").plan(4.6);
  EXPECT_EQ(result.plan.recipe, "dynamic");
  EXPECT_EQ(result.plan.file_type, find_recipe("Q4_K")->file_type);
}

TEST(PlanDynamic, PinsWhatARulePinsWithOrWithoutALoss) {
  Subject subject(
      "  - {roles: attn_v, type: Q6_K}\n"
      "  - {roles: attn_k, type: Q8_0}\n");
  auto tensors = by_name(subject.plan(4.0));
  for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
    const auto& value = tensors["blk." + std::to_string(layer) + ".attn_v.weight"];
    EXPECT_EQ(value.target, Q6_K);
    EXPECT_EQ(value.reason, ChoiceReason::pinned);
    EXPECT_TRUE(value.predicted_loss.has_value());
    const auto& key = tensors["blk." + std::to_string(layer) + ".attn_k.weight"];
    EXPECT_EQ(key.target, Q8_0);
    EXPECT_EQ(key.predicted_loss, std::nullopt);
  }
}

TEST(PlanDynamic, APinnedTypeThatDoesNotFitTakesItsFallbackAndSaysSo) {
  Subject subject("  - {tensors: blk.0.attn_q.weight, type: Q4_K}\n", "Q4_K, Q8_0");
  for (auto& tensor : subject.tensors) {
    if (tensor.name == "blk.0.attn_q.weight") tensor.shape = {256, 96};
  }
  const auto query = by_name(subject.plan(8.0))["blk.0.attn_q.weight"];
  EXPECT_EQ(query.target, Q5_0);
  EXPECT_EQ(query.wanted, Q4_K);
}

TEST(PlanDynamic, APinnedTypeThatCannotBeHadNamesTheRule) {
  Subject subject("  - {tensors: blk.0.attn_q.weight, type: IQ2_XXS}\n", "Q4_K");
  subject.has_importance = false;
  EXPECT_THAT(
      message_of<BadFileError>([&] { subject.plan(8.0); }),
      AllOf(HasSubstr("conf.yaml:3"), HasSubstr("blk.0.attn_q.weight"), HasSubstr("importance matrix")));
  Subject narrow("  - {tensors: blk.0.attn_q.weight, type: Q4_K}\n", "Q4_K");
  for (auto& tensor : narrow.tensors) {
    if (tensor.name == "blk.0.attn_q.weight") tensor.shape = {256, 33};
  }
  EXPECT_THAT(message_of<BadFileError>([&] { narrow.plan(8.0); }),
              AllOf(HasSubstr("conf.yaml:3"), HasSubstr("rows of 33 weights")));
}

TEST(PlanDynamic, ExcludedTensorsStayAsTheyAre) {
  const auto tensors = by_name(Subject("  - {layers: 2, keep: true}\n").plan(7.0));
  const auto& query = tensors.at("blk.2.attn_q.weight");
  EXPECT_EQ(query.target, F16);
  EXPECT_EQ(query.reason, ChoiceReason::excluded);
  EXPECT_NE(tensors.at("blk.1.attn_q.weight").target, F16);
}

TEST(PlanDynamic, StaysWithinTheLimitsAtEverySize) {
  Subject subject(
      "  - {roles: attention, min: Q4_K}\n"
      "  - {roles: ffn, max: Q3_K}\n");
  for (const double bits : {3.5, 4.0, 4.5}) {
    for (const auto& tensor : subject.plan(bits).plan.tensors) {
      const double stored = info(tensor.target).bits_per_weight();
      const auto role = model::name_of(tensor.place.role);
      EXPECT_TRUE(!role.starts_with("attn") || stored >= 4.5) << tensor.source.name;
      EXPECT_TRUE(!role.starts_with("ffn") || stored <= 3.4375) << tensor.source.name;
    }
  }
}

TEST(PlanDynamic, WithoutACandidateWithinTheLimitsItTakesTheNextAbove) {
  // A configuration cannot say so, but a model whose rows fit no other candidate comes to the same.
  Subject subject("  - {roles: attn_q, min: 5, max: 6}\n", "Q3_K, Q4_K, Q5_K, Q6_K");
  subject.policy.candidates = {Q3_K, Q4_K, Q6_K};
  const auto result = subject.plan(5.0);
  EXPECT_EQ(by_name(result)["blk.0.attn_q.weight"].target, Q6_K);
  EXPECT_THAT(result.notes, ElementsAre(AllOf(HasSubstr("conf.yaml:3"), HasSubstr("4 tensors"))));
}

TEST(PlanDynamic, NarrowRowsReachTheLowerLimitWithTheirFallback) {
  // Rows of 96 take Q5_0 instead of Q4_K and Q8_0 instead of Q6_K.
  Subject subject("  - {roles: attn_q, min: Q6_K}\n", "Q4_K, Q6_K");
  for (auto& tensor : subject.tensors) {
    if (tensor.name == "blk.0.attn_q.weight") tensor.shape = {256, 96};
  }
  EXPECT_EQ(by_name(subject.plan(7.0))["blk.0.attn_q.weight"].target, Q8_0);
}

TEST(PlanDynamic, WithoutACandidateAtTheLowerLimitItNamesTheRule) {
  Subject low("  - {roles: attn_q, min: Q4_K}\n", "IQ2_XXS, Q4_K");
  low.policy.candidates = {IQ2_XXS, Q3_K};
  EXPECT_THAT(message_of<BadFileError>([&] { low.plan(7.0); }),
              AllOf(HasSubstr("conf.yaml:3"), HasSubstr("4.5 bits per weight"), HasSubstr("Q3_K")));
}

TEST(PlanDynamic, WithoutImportanceTypesThatNeedItAreNoCandidates) {
  Subject subject;
  subject.has_importance = false;
  for (const auto& tensor : subject.plan(3.6).plan.tensors) EXPECT_NE(tensor.target, IQ2_XXS);
}

TEST(PlanDynamic, RowsThatFitNoCandidateStaySixteenBit) {
  Subject subject;
  subject.tensors.push_back({"blk.0.attn_extra.weight", F32, {64, 33}});
  subject.tensors.push_back({"blk.1.attn_extra.weight", BF16, {64, 33}});
  auto tensors = by_name(subject.plan(4.0));
  EXPECT_EQ(tensors["blk.0.attn_extra.weight"].target, F16);
  EXPECT_EQ(tensors["blk.1.attn_extra.weight"].target, BF16);
}

TEST(PlanDynamic, ATiedEmbeddingObeysTheRulesForTheOutput) {
  const std::string rules = "  - {roles: token_embd, max: Q3_K}\n  - {roles: output, type: Q6_K}\n";
  Subject tied(rules);
  tied.tie();
  EXPECT_EQ(by_name(tied.plan(5.0))["token_embd.weight"].target, Q6_K);
  Subject own(rules);
  EXPECT_LE(info(by_name(own.plan(4.0))["token_embd.weight"].target).bits_per_weight(), 3.4375);
}

TEST(PlanDynamic, RulesForMixturesOfExpertsDoNotReachDenseModels) {
  const std::string rules = "  - {roles: attn_q, models: moe, type: Q6_K}\n";
  EXPECT_EQ(by_name(Subject(rules).plan(4.0))["blk.0.attn_q.weight"].reason, ChoiceReason::allocated);
  Subject mixture(rules);
  mixture.facts.experts = 8;
  EXPECT_EQ(by_name(mixture.plan(4.0))["blk.0.attn_q.weight"].reason, ChoiceReason::pinned);
}

TEST(PlanDynamic, AnUnreachableTargetSaysTheLeastSizeAndTheRulesThatRaiseItMost) {
  Subject subject(
      "  - {roles: attn_v, min: Q3_K}\n"
      "  - {roles: ffn, min: Q4_K}\n"
      "  - {roles: output, type: Q6_K}\n"
      "  - {roles: attn_q, min: Q6_K}\n");
  const auto message = message_of<UsageError>([&] { subject.plan_bytes(1000); });
  const auto least = size_of(subject.plan(4.6).plan);
  EXPECT_THAT(message,
              AllOf(HasSubstr("1000 bytes"), HasSubstr("bits per weight"), HasSubstr("ask for more")));
  const auto ffn = message.find("conf.yaml:4 ");
  const auto query = message.find("conf.yaml:6 ");
  const auto output = message.find("conf.yaml:5 ");
  ASSERT_NE(ffn, std::string::npos) << message;
  EXPECT_LT(ffn, query) << message;
  EXPECT_LT(output, query) << message;
  EXPECT_EQ(message.find("conf.yaml:3 "), std::string::npos) << message;
  EXPECT_GT(least.target_bytes, 1000u);
}

TEST(PlanDynamic, TheLeastSizeThatItNamesIsReachable) {
  Subject subject("  - {roles: output, min: Q4_K}\n");
  const auto message = message_of<UsageError>([&] { subject.plan_bytes(1000); });
  const std::string before = "rules is ";
  const auto least = std::stoull(message.substr(message.find(before) + before.size()));
  EXPECT_EQ(size_of(subject.plan_bytes(least).plan).target_bytes, least);
  EXPECT_THROW(subject.plan_bytes(least - 1), UsageError);
}

TEST(PlanDynamic, AnUnreachableTargetSaysWhenImportanceWouldHelp) {
  Subject subject;
  subject.has_importance = false;
  EXPECT_THAT(message_of<UsageError>([&] { subject.plan(2.5); }), HasSubstr("26 tensors have no importance"));
  subject = Subject();
  EXPECT_THAT(message_of<UsageError>([&] { subject.plan(1.5); }), Not(HasSubstr("importance")));
}

TEST(PlanDynamic, ATargetAboveTheLargestSizeIsANote) {
  Subject subject;
  const auto result = subject.plan(12.0);
  EXPECT_EQ(by_name(result)["blk.0.ffn_up.weight"].target, Q6_K);
  EXPECT_THAT(result.notes, ElementsAre(HasSubstr("above the largest useful size")));
}

TEST(PlanDynamic, TheCurveRunsOverAllSizesWhateverTheTarget) {
  Subject subject;
  const auto curve = subject.plan(4.0).curve;
  ASSERT_GT(curve.size(), 10u);
  EXPECT_LE(curve.size(), 40u);
  for (std::size_t i = 1; i < curve.size(); ++i) {
    EXPECT_GT(curve[i].tensor_bytes, curve[i - 1].tensor_bytes);
    EXPECT_LT(curve[i].loss, curve[i - 1].loss);
  }
  EXPECT_NEAR(curve.front().bits_per_weight, 2.08, 0.05);
  EXPECT_NEAR(curve.back().bits_per_weight, 6.6, 0.05);
}

TEST(PlanDynamic, AMissingLossNamesTensorAndType) {
  Subject subject;
  subject.find_losses();
  std::erase_if(subject.sensitivity.tensors,
                [](const auto& row) { return row.tensor == "blk.3.ffn_up.weight"; });
  EXPECT_THAT(message_of<UsageError>([&] { subject.plan(4.0); }),
              AllOf(HasSubstr("blk.3.ffn_up.weight"), HasSubstr("IQ2_XXS")));
}

}  // namespace
}  // namespace tessera::stages
