#include "artifacts/smoothing_plan.h"

#include <algorithm>

#include "foundation/base/error.h"

namespace tessera {
namespace {

using nlohmann::json;

json or_null(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

std::optional<double> optional_number(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

json to_json(const SmoothedLinear& linear) {
  return {{"tensor", linear.tensor},
          {"weight_maximum", linear.weight_maximum},
          {"smoothed_weight_maximum", linear.smoothed_maximum},
          {"naive_error", linear.naive_error},
          {"half_error", or_null(linear.half_error)},
          {"smoothed_error", linear.smoothed_error}};
}

SmoothedLinear linear_from(const json& value) {
  return {.tensor = value.at("tensor"),
          .weight_maximum = value.at("weight_maximum"),
          .smoothed_maximum = value.at("smoothed_weight_maximum"),
          .naive_error = value.at("naive_error"),
          .half_error = optional_number(value.at("half_error")),
          .smoothed_error = value.at("smoothed_error")};
}

json to_json(const SmoothedFold& fold) {
  auto linears = json::array();
  for (const auto& linear : fold.linears) linears.push_back(to_json(linear));
  return {{"layer", fold.layer},
          {"fold", fold.fold},
          {"alpha", or_null(fold.alpha)},
          {"input_maxima", fold.input_maxima},
          {"weight_maxima", fold.weight_maxima},
          {"scales", fold.scales},
          {"linears", std::move(linears)}};
}

SmoothedFold fold_from(const json& value) {
  SmoothedFold fold{.layer = value.at("layer"),
                    .fold = value.at("fold"),
                    .alpha = optional_number(value.at("alpha")),
                    .input_maxima = value.at("input_maxima"),
                    .weight_maxima = value.at("weight_maxima"),
                    .scales = value.at("scales"),
                    .linears = {}};
  for (const auto& linear : value.at("linears")) fold.linears.push_back(linear_from(linear));
  return fold;
}

}  // namespace

double outlier_ratio(std::span<const double> maxima) {
  if (maxima.empty()) return 0;
  std::vector<double> sorted(maxima.begin(), maxima.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::ranges::nth_element(sorted, middle);
  return *middle > 0 ? *std::ranges::max_element(sorted) / *middle : 0;
}

json to_json(const SmoothingPlan& plan) {
  auto folds = json::array();
  for (const auto& fold : plan.folds) folds.push_back(to_json(fold));
  return {{"folds", std::move(folds)}};
}

SmoothingPlan smoothing_plan_from(const json& plan, const std::string& file) {
  try {
    SmoothingPlan result;
    for (const auto& fold : plan.at("folds")) result.folds.push_back(fold_from(fold));
    return result;
  } catch (const json::exception& error) {
    throw BadFileError({.file = file}, std::string("it is no smoothing plan: ") + error.what());
  }
}

}  // namespace tessera
