// What smoothing does to a model, fold by fold, and what W8A8 costs with and without it (SmoothQuant, arXiv
// 2211.10438).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// One linear that reads the channels of a fold.
struct SmoothedLinear {
  std::string tensor;           ///< GGUF name of the weight
  double weight_maximum = 0;    ///< largest magnitude
  double smoothed_maximum = 0;  ///< the same of the weight with its columns multiplied
  double naive_error = 0;       ///< mean of |y - y_W8A8|^2 / |y|^2 over sampled tokens, without smoothing
  std::optional<double> half_error = {};  ///< the same at alpha 0.5; only where alpha was searched for
  double smoothed_error = 0;              ///< as smoothed

  bool operator==(const SmoothedLinear&) const = default;
};

/// Of one layer. Channels are those of the carrier (smoothing_fold.h).
struct SmoothedFold {
  std::uint32_t layer = 0;
  std::string fold;             ///< FoldRule::name
  std::optional<double> alpha;  ///< migration strength; empty: left alone, all scales are 1
  /// [channels]: largest magnitudes of the readers' input, or the percentile asked for
  std::vector<float> input_maxima = {};
  std::vector<float> weight_maxima = {};  ///< [channels]: over all readers
  std::vector<double> scales = {};        ///< [channels]: s
  std::vector<SmoothedLinear> linears = {};

  bool operator==(const SmoothedFold&) const = default;
};

/// Largest over median (0 where the median is).
double outlier_ratio(std::span<const double> maxima);

struct SmoothingPlan {
  std::vector<SmoothedFold> folds;  ///< layer by layer, in the order of the family's rules

  bool operator==(const SmoothingPlan&) const = default;
};

/// The whole plan, every scale; and back. Throws BadFileError naming `file` for what is no plan.
nlohmann::json to_json(const SmoothingPlan& plan);
SmoothingPlan smoothing_plan_from(const nlohmann::json& plan, const std::string& file);

}  // namespace tessera
