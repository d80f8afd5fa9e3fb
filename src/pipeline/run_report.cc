#include "pipeline/run_report.h"

namespace tessera::pipeline {
namespace {

using nlohmann::json;

json or_null(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

double bits_per_weight(std::uint64_t bytes, std::uint64_t weights) {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

/// What the report adds to the plan's row of a tensor.
void add_figures(const QuantizeReport& report, std::size_t i, json& row) {
  const auto& tensor = report.plan.tensors[i];
  row["layer"] = tensor.place.layer ? json(*tensor.place.layer) : json(nullptr);
  row["weights"] = tensor.source.weights();
  row["bits_per_weight"] = bits_per_weight(tensor.output().bytes(), tensor.source.weights());
  row["predicted_loss"] = or_null(tensor.predicted_loss);
  row["relative_error"] = nullptr;
  row["weighted_relative_error"] = nullptr;
  if (i < report.errors.size()) {
    row["relative_error"] = report.errors[i].relative();
    row["weighted_relative_error"] = or_null(report.errors[i].weighted_relative());
  }
  if (const auto found = report.feedback.find(i); found != report.feedback.end()) {
    const auto& outcome = found->second;
    row["feedback"] = {{"output_error_ratio", outcome.ratio()},
                       {"output_error", outcome.output_error},
                       {"sampled_output_error", outcome.sampled_output_error},
                       {"plain_output_error", outcome.plain_output_error},
                       {"rows", outcome.rows},
                       {"plain_rows", outcome.plain_rows},
                       {"damping", outcome.damping}};
    if (!outcome.shared_experts.empty()) row["feedback"]["shared_experts"] = outcome.shared_experts;
  }
  if (i < report.importance.tensors.size() && report.importance.tensors[i]) {
    const auto unseen = report.importance.tensors[i]->unseen_experts();
    if (!unseen.empty()) row["unseen_experts"] = unseen;
  }
}

json plan_json(const QuantizeReport& report) {
  const auto size = size_of(report.plan);
  json plan = to_json(report.plan);
  plan["weights"] = size.weights;
  plan["bytes"] = size.target_bytes;
  plan["source_bytes"] = size.source_bytes;
  plan["file_bytes"] = report.header.file_bytes;
  plan["bits_per_weight"] = size.target_bpw();
  plan["source_bits_per_weight"] = size.source_bpw();
  plan["predicted_loss"] = or_null(predicted_loss_of(report.plan));
  for (std::size_t i = 0; i < report.plan.tensors.size(); ++i) add_figures(report, i, plan["tensors"][i]);
  return plan;
}

json sensitivity_json(const Sensitivity& sensitivity) {
  auto tensors = json::array();
  for (const auto& tensor : sensitivity.tensors) {
    auto candidates = json::array();
    for (const auto& candidate : tensor.candidates) {
      candidates.push_back({{"type", name_of(candidate.type)},
                            {"bits_per_weight", info(candidate.type).bits_per_weight()},
                            {"loss", candidate.loss}});
    }
    tensors.push_back({{"name", tensor.tensor}, {"candidates", std::move(candidates)}});
  }
  return {{"method", name_of(sensitivity.method)},
          {"with_feedback", sensitivity.with_feedback},
          {"tensors", std::move(tensors)}};
}

/// `overhead`: what the files have beside the tensors.
json points_json(const std::vector<SizePoint>& points, std::uint64_t overhead) {
  auto list = json::array();
  for (const auto& point : points) {
    json row = {{"file_bytes", point.tensor_bytes + overhead},
                {"bits_per_weight", point.bits_per_weight},
                {"predicted_loss", point.loss}};
    if (!point.label.empty()) row["type"] = point.label;
    list.push_back(std::move(row));
  }
  return list;
}

}  // namespace

json to_json(const QuantizeReport& report) {
  json result = {
      {"tessera_version", TESSERA_VERSION},
      {"model", report.model},
      {"settings", json::object()},
      {"provenance", {{"files", to_json(report.provenance, PathForm::as_given)}}},
      {"plan", plan_json(report)},
      {"sensitivity", nullptr},
      {"size_curve", json::array()},
      {"uniform", json::array()},
      {"files", json::array()},
      {"evaluation", report.evaluation ? to_json(*report.evaluation) : json(nullptr)},
      {"super_weight_coverage", report.super_weights ? to_json(*report.super_weights) : json(nullptr)},
      {"wall_seconds", json::array()}};
  for (const auto& [name, value] : report.settings) result["settings"][name] = value;
  if (const auto& dynamic = report.dynamic) {
    const auto overhead = report.header.file_bytes - size_of(report.plan).target_bytes;
    result["sensitivity"] = sensitivity_json(dynamic->sensitivity);
    result["size_curve"] = points_json(dynamic->curve, overhead);
    result["uniform"] = points_json(dynamic->uniform, overhead);
  }
  for (const auto& file : report.files)
    result["files"].push_back({{"path", file.path.string()}, {"bytes", file.bytes}});
  for (const auto& time : report.times)
    result["wall_seconds"].push_back({{"step", time.step}, {"seconds", time.seconds}});
  return result;
}

}  // namespace tessera::pipeline
