// Decides how strongly one fold is smoothed, and measures what W8A8 costs the linears behind it.
//
// W8A8 is tried out on sampled rows X of the input: activations and weights are rounded to int8 codes as the
// integer linear rounds them (a scale per token, or one for all where activations are static; a scale per
// output channel), and what comes out is compared with X W^T. Codes are small enough to be exact in bfloat16,
// and their products add up in float32, so the trial runs on the float matrix units. Weights are read panel
// by panel, twice: for their ranges, and for the trials.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "artifacts/input_magnitudes.h"
#include "artifacts/smoothing_config.h"
#include "artifacts/smoothing_plan.h"
#include "foundation/base/stop_flag.h"
#include "foundation/tensor/weight_source.h"
#include "model/architecture/smoothing_fold.h"

namespace tessera::stages {

/// Holds the usual 0.5, so that automatic is never worse than it on the rows tried.
inline constexpr std::array kAlphaGrid = {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0};

struct SmoothingTrialSettings {
  bool static_activations = false;
  int threads = 0;  ///< 0: all cores
};

/// A fold of one layer, and what was seen before its readers.
struct FoldInput {
  const model::FoldRule& rule;
  model::HeadShape heads;
  std::uint32_t layer = 0;
  std::vector<std::size_t> readers;  ///< tensors of the source, [out, columns] each
  std::uint64_t channels = 0;        ///< of the carrier
  InputMagnitudes magnitudes;        ///< [columns]
};

/// Throws BadFileError naming the place of a weight that is not finite, InterruptedError.
SmoothedFold choose_smoothing(const WeightSource& source, const FoldInput& input,
                              const SmoothingStrength& strength, const SmoothingTrialSettings& settings,
                              const StopFlag& stop);

}  // namespace tessera::stages
