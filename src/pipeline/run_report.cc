#include "pipeline/run_report.h"

#include <algorithm>

namespace tessera::pipeline {
namespace {

using nlohmann::json;

json or_null(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

double bits_per_weight(std::uint64_t bytes, std::uint64_t weights) {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

json tensor_json(const QuantizeReport& report, std::size_t i) {
  const auto& tensor = report.plan.tensors[i];
  const auto weights = tensor.source.weights();
  const auto bytes = tensor.output().bytes();
  json row = {{"name", tensor.source.name},
              {"role", name_of(tensor.place.role)},
              {"layer", tensor.place.layer ? json(*tensor.place.layer) : json(nullptr)},
              {"shape", tensor.source.shape},
              {"from", name_of(tensor.source.type)},
              {"to", name_of(tensor.target)},
              {"weights", weights},
              {"source_bytes", tensor.source.bytes()},
              {"bytes", bytes},
              {"bits_per_weight", bits_per_weight(bytes, weights)},
              {"reason", name_of(tensor.reason)},
              {"predicted_loss", or_null(tensor.predicted_loss)},
              {"relative_error", nullptr},
              {"weighted_relative_error", nullptr}};
  if (tensor.wanted) row["wanted"] = name_of(*tensor.wanted);
  if (i < report.errors.size()) {
    row["relative_error"] = report.errors[i].relative();
    row["weighted_relative_error"] = or_null(report.errors[i].weighted_relative());
  }
  if (i < report.importance.tensors.size() && report.importance.tensors[i]) {
    const auto unseen = report.importance.tensors[i]->unseen_experts();
    if (!unseen.empty()) row["unseen_experts"] = unseen;
  }
  return row;
}

json plan_json(const QuantizeReport& report) {
  const auto size = size_of(report.plan);
  std::uint64_t file_bytes = 0;
  for (const auto& file : report.files) file_bytes += file.bytes;
  auto tensors = json::array();
  for (std::size_t i = 0; i < report.plan.tensors.size(); ++i) tensors.push_back(tensor_json(report, i));
  return {{"recipe", report.plan.recipe},
          {"file_type", report.plan.file_type},
          {"weights", size.weights},
          {"bytes", size.target_bytes},
          {"source_bytes", size.source_bytes},
          {"file_bytes", file_bytes},
          {"bits_per_weight", size.target_bpw()},
          {"source_bits_per_weight", size.source_bpw()},
          {"predicted_loss", or_null(predicted_loss_of(report.plan))},
          {"tensors", std::move(tensors)}};
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
  return {{"method", name_of(sensitivity.method)}, {"tensors", std::move(tensors)}};
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
  json result = {{"tessera_version", TESSERA_VERSION},
                 {"model", report.model},
                 {"settings", json::object()},
                 {"provenance", {{"files", to_json(report.provenance, PathForm::as_given)}}},
                 {"plan", plan_json(report)},
                 {"sensitivity", nullptr},
                 {"size_curve", json::array()},
                 {"uniform", json::array()},
                 {"files", json::array()},
                 {"evaluation", report.evaluation ? to_json(*report.evaluation) : json(nullptr)},
                 {"wall_seconds", json::array()}};
  for (const auto& [name, value] : report.settings) result["settings"][name] = value;
  if (const auto& dynamic = report.dynamic) {
    const auto overhead = result["plan"]["file_bytes"].get<std::uint64_t>() -
                          std::min(result["plan"]["file_bytes"].get<std::uint64_t>(),
                                   result["plan"]["bytes"].get<std::uint64_t>());
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
