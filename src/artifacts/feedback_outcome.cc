#include "artifacts/feedback_outcome.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace tessera {

FeedbackOutcome& FeedbackOutcome::operator+=(const FeedbackOutcome& other) {
  error.sums += other.error.sums;
  error.has_importance = other.error.has_importance;
  output_error += other.output_error;
  sampled_output_error += other.sampled_output_error;
  plain_output_error += other.plain_output_error;
  rows += other.rows;
  plain_rows += other.plain_rows;
  damping = std::max(damping, other.damping);
  std::vector<std::uint64_t> experts;
  std::ranges::set_union(shared_experts, other.shared_experts, std::back_inserter(experts));
  shared_experts = std::move(experts);
  return *this;
}

nlohmann::json to_json(const FeedbackOutcome& outcome) {
  const auto& sums = outcome.error.sums;
  return {{"sums", {sums.error, sums.energy, sums.weighted_error, sums.weighted_energy}},
          {"output_error", outcome.output_error},
          {"sampled_output_error", outcome.sampled_output_error},
          {"plain_output_error", outcome.plain_output_error},
          {"rows", outcome.rows},
          {"plain_rows", outcome.plain_rows},
          {"damping", outcome.damping},
          {"shared_experts", outcome.shared_experts}};
}

FeedbackOutcome feedback_outcome_of(const nlohmann::json& json) {
  const auto& sums = json.at("sums");
  FeedbackOutcome outcome;
  outcome.error = {{sums.at(0), sums.at(1), sums.at(2), sums.at(3)}, true};
  outcome.output_error = json.at("output_error");
  outcome.sampled_output_error = json.at("sampled_output_error");
  outcome.plain_output_error = json.at("plain_output_error");
  outcome.rows = json.at("rows");
  outcome.plain_rows = json.at("plain_rows");
  outcome.damping = json.at("damping");
  outcome.shared_experts = json.at("shared_experts").get<std::vector<std::uint64_t>>();
  return outcome;
}

}  // namespace tessera
