#include "artifacts/evaluation.h"

namespace tessera {
namespace {

using nlohmann::json;

double quotient(double numerator, double denominator) {
  return denominator > 0 ? numerator / denominator : 0;
}

json or_null(std::optional<double> value) { return value ? json(*value) : json(nullptr); }

void add_estimate(json& report, const std::string& name, const Estimate& estimate) {
  report[name] = estimate.value;
  report[name + "_error"] = estimate.standard_error;
}

json to_json(const TensorError& tensor) {
  return {{"name", tensor.name},
          {"type_original", name_of(tensor.original_type)},
          {"type_quantized", name_of(tensor.quantized_type)},
          {"weights", tensor.weights},
          {"mean_squared_error", tensor.mean_squared_error()},
          {"relative_error", tensor.error.relative()},
          {"weighted_mean_squared_error", or_null(tensor.weighted_mean_squared_error())},
          {"weighted_relative_error", or_null(tensor.error.weighted_relative())}};
}

json to_json(const std::vector<TensorError>& tensors) {
  json list = json::array();
  for (const auto& tensor : tensors) list.push_back(to_json(tensor));
  return list;
}

json to_json(const std::vector<LayerErrors>& layers) {
  json list = json::array();
  for (const auto& layer : layers) {
    list.push_back({{"layer", layer.layer},
                    {"output_relative_error", layer.relative_output_error()},
                    {"tensors", to_json(layer.tensors)}});
  }
  return list;
}

json to_json(const std::vector<HistogramBin>& bins) {
  json list = json::array();
  for (const auto& bin : bins) list.push_back({{"upper", bin.upper}, {"tokens", bin.tokens}});
  return list;
}

json model_fields(const std::string& suffix, const EvaluatedModel& model) {
  json fields = {{"model" + suffix, model.path},
                 {"bits_per_weight" + suffix, model.size.bits_per_weight()},
                 {"tensor_bytes" + suffix, model.size.tensor_bytes},
                 {"file_bytes" + suffix, model.size.file_bytes}};
  add_estimate(fields, "perplexity" + suffix, model.perplexity);
  return fields;
}

json change_fields(const PredictionChange& change) {
  json fields = {{"perplexity_delta_pct", change.perplexity_delta_pct},
                 {"log_probability_correlation", change.log_probability_correlation},
                 {"kl_divergence_median", change.kl_quantiles.median},
                 {"kl_divergence_p90", change.kl_quantiles.p90},
                 {"kl_divergence_p95", change.kl_quantiles.p95},
                 {"kl_divergence_p99", change.kl_quantiles.p99},
                 {"kl_divergence_p99_9", change.kl_quantiles.p99_9},
                 {"kl_divergence_maximum", change.kl_quantiles.maximum},
                 {"kl_divergence_histogram", to_json(change.kl_histogram)}};
  add_estimate(fields, "perplexity_log_ratio", change.perplexity_log_ratio);
  add_estimate(fields, "kl_divergence_mean", change.kl_divergence);
  add_estimate(fields, "top_1_agreement_pct", change.top_1_agreement_pct);
  add_estimate(fields, "probability_change_mean_pct", change.probability_change_mean_pct);
  add_estimate(fields, "probability_change_rms_pct", change.probability_change_rms_pct);
  return fields;
}

/// The same names with nothing known.
json emptied(json fields) {
  for (json& value : fields) value = nullptr;
  return fields;
}

}  // namespace

double ModelSize::bits_per_weight() const {
  return quotient(8.0 * static_cast<double>(tensor_bytes), static_cast<double>(weights));
}

double TensorError::mean_squared_error() const {
  return quotient(error.sums.error, static_cast<double>(weights));
}

std::optional<double> TensorError::weighted_mean_squared_error() const {
  if (!error.has_importance) return std::nullopt;
  return quotient(error.sums.weighted_error, importance_total);
}

double LayerErrors::relative_output_error() const { return quotient(output.error, output.energy); }

nlohmann::json to_json(const Evaluation& evaluation) {
  const EvaluatedModel& judged = evaluation.quantized ? *evaluation.quantized : evaluation.original;
  json report = {{"datasets", evaluation.datasets},
                 {"context", evaluation.context},
                 {"windows", evaluation.windows},
                 {"scored_tokens", evaluation.scored_tokens},
                 {"weights", evaluation.original.size.weights},
                 {"effective_bits_per_weight", judged.size.bits_per_weight()},
                 {"layer_errors", to_json(evaluation.layers)},
                 {"other_tensor_errors", to_json(evaluation.other_tensors)},
                 {"coherence", evaluation.coherence ? to_json(*evaluation.coherence) : json(nullptr)},
                 {"super_weight_coverage", nullptr}};
  if (evaluation.super_weight_coverage) report["super_weight_coverage"] = *evaluation.super_weight_coverage;
  report.update(model_fields("_original", evaluation.original));
  report.update(evaluation.quantized ? model_fields("_quantized", *evaluation.quantized)
                                     : emptied(model_fields("_quantized", {})));
  report.update(evaluation.change ? change_fields(*evaluation.change) : emptied(change_fields({})));
  return report;
}

}  // namespace tessera
