#include "artifacts/feedback_outcome.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

FeedbackOutcome outcome(double error, std::vector<std::uint64_t> shared) {
  FeedbackOutcome outcome;
  outcome.error = {{error, 2 * error, 3 * error, 4 * error}, true};
  outcome.output_error = error / 3;
  outcome.sampled_output_error = error / 4;
  outcome.plain_output_error = error;
  outcome.rows = 7;
  outcome.plain_rows = 2;
  outcome.damping = error / 7;
  outcome.shared_experts = std::move(shared);
  return outcome;
}

TEST(FeedbackOutcomes, OfPartsAddUp) {
  FeedbackOutcome total;
  EXPECT_EQ(total.ratio(), 1);
  total += outcome(1, {2, 5});
  total += outcome(0.5, {3, 5});
  EXPECT_DOUBLE_EQ(total.output_error, 0.5);
  EXPECT_DOUBLE_EQ(total.plain_output_error, 1.5);
  EXPECT_DOUBLE_EQ(total.sampled_output_error, 0.375);
  EXPECT_DOUBLE_EQ(total.ratio(), 0.25);
  EXPECT_EQ(total.error.sums, (kernels::ErrorSums{1.5, 3, 4.5, 6}));
  EXPECT_TRUE(total.error.has_importance);
  EXPECT_EQ(total.rows, 14u);
  EXPECT_EQ(total.plain_rows, 4u);
  EXPECT_EQ(total.damping, 1.0 / 7);
  EXPECT_EQ(total.shared_experts, (std::vector<std::uint64_t>{2, 3, 5}));
}

TEST(FeedbackOutcomes, ComeBackFromJsonToTheBit) {
  const auto before = outcome(0.1, {0, 63});
  const auto after = feedback_outcome_of(nlohmann::json::parse(to_json(before).dump()));
  EXPECT_EQ(after.error.sums, before.error.sums);
  EXPECT_TRUE(after.error.has_importance);
  EXPECT_EQ(after.output_error, before.output_error);
  EXPECT_EQ(after.sampled_output_error, before.sampled_output_error);
  EXPECT_EQ(after.plain_output_error, before.plain_output_error);
  EXPECT_EQ(after.rows, before.rows);
  EXPECT_EQ(after.plain_rows, before.plain_rows);
  EXPECT_EQ(after.damping, before.damping);
  EXPECT_EQ(after.shared_experts, before.shared_experts);
}

TEST(FeedbackOutcomes, ThatAreDamagedAreRefused) {
  EXPECT_THROW(feedback_outcome_of(nlohmann::json::object()), nlohmann::json::exception);
  auto json = to_json(outcome(1, {}));
  json["sums"] = "none";
  EXPECT_THROW(feedback_outcome_of(json), nlohmann::json::exception);
}

}  // namespace
}  // namespace tessera
