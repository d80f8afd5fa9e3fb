// Decides how strongly one fold is smoothed, and measures what W8A8 costs the linears behind it.
//
// What each strength costs is tried out on sampled rows of the fold's input (w8a8_trial.h).
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "artifacts/smoothing_config.h"
#include "artifacts/smoothing_plan.h"
#include "foundation/base/stop_flag.h"
#include "foundation/tensor/weight_source.h"
#include "stages/choose_smoothing/fold_input.h"

namespace tessera::stages {

/// Holds the usual 0.5, so that automatic is never worse than it on the rows tried.
inline constexpr std::array kAlphaGrid = {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0};

/// Throws BadFileError naming the place of a weight that is not finite, InterruptedError.
SmoothedFold choose_smoothing(const WeightSource& source, const FoldInput& input,
                              const SmoothingStrength& strength, const SmoothingTrialSettings& settings,
                              const StopFlag& stop);

}  // namespace tessera::stages
