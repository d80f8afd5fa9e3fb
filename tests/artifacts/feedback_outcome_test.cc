#include "artifacts/feedback_outcome.h"

#include <gtest/gtest.h>

#include "foundation/base/error.h"

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

FeedbackOutcomes parsed(const std::string& text, std::size_t tensors = 8) {
  return parse_feedback_outcomes(std::as_bytes(std::span(text)), tensors, "outcomes");
}

TEST(FeedbackOutcomes, ComeBackFromTextToTheBit) {
  const auto before = outcome(0.1, {0, 63});
  const auto all = parsed(to_text({{3, outcome(2, {})}, {7, before}}));
  ASSERT_EQ(all.size(), 2u);
  const auto& after = all.at(7);
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
  const auto whole = to_text({{7, outcome(1, {})}});
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes)
    EXPECT_THROW(parsed(whole.substr(0, bytes)), BadFileError) << bytes;
  for (const char* text :
       {"null", "[{}]", "[1]", "[[]]", R"([{"tensor": 1, "sums": "none"}])", R"({"tensor": 1})"})
    EXPECT_THROW(parsed(text), BadFileError) << text;
  EXPECT_THROW(parsed(whole, 7), BadFileError);
}

}  // namespace
}  // namespace tessera
