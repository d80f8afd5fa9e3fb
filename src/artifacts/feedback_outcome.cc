#include "artifacts/feedback_outcome.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "foundation/base/error.h"
#include "foundation/formats/json/strict_json.h"

namespace tessera {
namespace {

using nlohmann::json;

json to_json(std::size_t tensor, const FeedbackOutcome& outcome) {
  const auto& sums = outcome.error.sums;
  return {{"tensor", tensor},
          {"sums", {sums.error, sums.energy, sums.weighted_error, sums.weighted_energy}},
          {"output_error", outcome.output_error},
          {"sampled_output_error", outcome.sampled_output_error},
          {"plain_output_error", outcome.plain_output_error},
          {"rows", outcome.rows},
          {"plain_rows", outcome.plain_rows},
          {"damping", outcome.damping},
          {"shared_experts", outcome.shared_experts}};
}

FeedbackOutcome outcome_of(const json& fields) {
  const auto& sums = fields.at("sums");
  FeedbackOutcome outcome;
  outcome.error = {{sums.at(0), sums.at(1), sums.at(2), sums.at(3)}, true};
  outcome.output_error = fields.at("output_error");
  outcome.sampled_output_error = fields.at("sampled_output_error");
  outcome.plain_output_error = fields.at("plain_output_error");
  outcome.rows = fields.at("rows");
  outcome.plain_rows = fields.at("plain_rows");
  outcome.damping = fields.at("damping");
  outcome.shared_experts = fields.at("shared_experts").get<std::vector<std::uint64_t>>();
  return outcome;
}

}  // namespace

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

std::string to_text(const FeedbackOutcomes& outcomes) {
  auto list = json::array();
  for (const auto& [tensor, outcome] : outcomes) list.push_back(to_json(tensor, outcome));
  return list.dump();
}

FeedbackOutcomes parse_feedback_outcomes(std::span<const std::byte> bytes, std::size_t tensors,
                                         const std::string& file) {
  FeedbackOutcomes outcomes;
  try {
    for (const auto& fields : parse_json(bytes, file).get<std::vector<json>>()) {
      const auto tensor = fields.at("tensor").get<std::size_t>();
      if (tensor >= tensors)
        throw BadFileError({.file = file}, "it holds the outcome of another plan's tensor");
      outcomes[tensor] = outcome_of(fields);
    }
  } catch (const json::exception&) {
    throw BadFileError({.file = file}, "it holds no outcomes of error feedback");
  }
  return outcomes;
}

}  // namespace tessera
