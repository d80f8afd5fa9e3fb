#include "pipeline/smoothquant_report.h"

#include <algorithm>

namespace tessera::pipeline {
namespace {

using nlohmann::json;

/// Largest magnitude, and how far it stands out.
json range_json(const std::vector<double>& maxima) {
  const double largest = maxima.empty() ? 0 : *std::ranges::max_element(maxima);
  return {{"maximum", largest}, {"outlier_ratio", outlier_ratio(maxima)}};
}

json fold_json(const SmoothedFold& fold) {
  std::vector<double> input(fold.input_maxima.begin(), fold.input_maxima.end());
  std::vector<double> weights(fold.weight_maxima.begin(), fold.weight_maxima.end());
  json before = {{"input", range_json(input)}, {"weights", range_json(weights)}};
  for (std::size_t c = 0; c < fold.scales.size(); ++c) {
    input[c] /= fold.scales[c];
    weights[c] *= fold.scales[c];
  }
  auto linears = json::array();
  for (const auto& linear : fold.linears) {
    linears.push_back({{"tensor", linear.tensor},
                       {"naive_error", linear.naive_error},
                       {"smoothed_error", linear.smoothed_error}});
  }
  return {{"layer", fold.layer},
          {"fold", fold.fold},
          {"alpha", fold.alpha ? json(*fold.alpha) : json(nullptr)},
          {"original", std::move(before)},
          {"smoothed", {{"input", range_json(input)}, {"weights", range_json(weights)}}},
          {"linears", std::move(linears)}};
}

json variant_json(const char* name, const Evaluation& evaluation) {
  const auto& change = *evaluation.change;
  return {{"model", name},
          {"perplexity", evaluation.quantized->perplexity.value},
          {"perplexity_standard_error", evaluation.quantized->perplexity.standard_error},
          {"perplexity_delta_pct", change.perplexity_delta_pct},
          {"kl_divergence", change.kl_divergence.value},
          {"top_1_agreement_pct", change.top_1_agreement_pct.value}};
}

json evaluation_json(const SmoothQuantEvaluations& evaluations) {
  const auto& any = evaluations.smoothed;
  return {{"datasets", any.datasets},
          {"context", any.context},
          {"windows", any.windows},
          {"scored_tokens", any.scored_tokens},
          {"original",
           {{"perplexity", any.original.perplexity.value},
            {"perplexity_standard_error", any.original.perplexity.standard_error}}},
          {"variants",
           {variant_json("smoothed", evaluations.smoothed),
            variant_json("W8A8 without smoothing", evaluations.naive_w8a8),
            variant_json("W8A8 smoothed", evaluations.smoothed_w8a8)}}};
}

}  // namespace

json to_json(const SmoothQuantReport& report) {
  json result = {{"tessera_version", TESSERA_VERSION},
                 {"kind", "smoothquant"},
                 {"model", report.model},
                 {"output", report.output.string()},
                 {"form", name_of(report.form)},
                 {"float_type", name_of(report.type)},
                 {"settings", json::object()},
                 {"bytes", report.bytes},
                 {"provenance", {{"files", to_json(report.provenance, PathForm::as_given)}}},
                 {"folds", json::array()},
                 {"evaluation", nullptr},
                 {"wall_seconds", json::array()}};
  for (const auto& [name, value] : report.settings) result["settings"][name] = value;
  for (const auto& fold : report.plan.folds) result["folds"].push_back(fold_json(fold));
  if (report.evaluations) result["evaluation"] = evaluation_json(*report.evaluations);
  for (const auto& time : report.times)
    result["wall_seconds"].push_back({{"step", time.step}, {"seconds", time.seconds}});
  return result;
}

}  // namespace tessera::pipeline
