#include "stages/choose_smoothing.h"

#include <algorithm>

#include "stages/choose_smoothing/smoothing_scales.h"
#include "stages/choose_smoothing/w8a8_trial.h"

namespace tessera::stages {
namespace {

/// Leaving alone comes first, so that smoothing must be better to be chosen.
std::size_t best_of(std::span<const TrialErrors> readers, std::size_t candidates) {
  std::vector<double> sums(candidates);
  for (const auto& reader : readers)
    for (std::size_t i = 0; i < candidates; ++i) sums[i] += relative_error(reader, i);
  return static_cast<std::size_t>(std::ranges::min_element(sums) - sums.begin());
}

std::vector<double> alphas_of(const SmoothingStrength& strength) {
  using enum SmoothingStrength::Kind;
  if (strength.kind == none) return {};
  if (strength.kind == fixed) return {strength.alpha};
  return {kAlphaGrid.begin(), kAlphaGrid.end()};
}

}  // namespace

SmoothedFold choose_smoothing(const WeightSource& source, const FoldInput& input,
                              const SmoothingStrength& strength, const SmoothingTrialSettings& settings,
                              const StopFlag& stop) {
  W8A8Trial trial(source, input, settings, stop);
  SmoothedFold fold{.layer = input.layer,
                    .fold = std::string(input.rule.name),
                    .alpha = {},
                    .input_maxima = trial.input_maxima(),
                    .weight_maxima = trial.weight_maxima(),
                    .scales = {},
                    .linears = {}};
  std::vector<SmoothingCandidate> candidates;
  candidates.push_back(trial.candidate({}, std::vector<double>(input.channels, 1.0)));
  for (const double alpha : alphas_of(strength)) {
    candidates.push_back(
        trial.candidate(alpha, smoothing_scales(fold.input_maxima, fold.weight_maxima, alpha)));
  }
  const auto readers = trial.run(candidates);
  const bool searched = strength.kind == SmoothingStrength::Kind::automatic;
  const std::size_t chosen = searched ? best_of(readers, candidates.size()) : candidates.size() - 1;
  fold.alpha = candidates[chosen].alpha;
  fold.scales = candidates[chosen].scales;
  const auto half = std::ranges::find(candidates, std::optional(0.5), &SmoothingCandidate::alpha);
  for (std::size_t i = 0; i < readers.size(); ++i) {
    fold.linears.push_back({.tensor = source.tensors()[input.readers[i]].name,
                            .weight_maximum = readers[i].weight_maxima[0],
                            .smoothed_maximum = readers[i].weight_maxima[chosen],
                            .naive_error = relative_error(readers[i], 0),
                            .half_error = {},
                            .smoothed_error = relative_error(readers[i], chosen)});
    if (searched) {
      fold.linears.back().half_error =
          relative_error(readers[i], static_cast<std::size_t>(half - candidates.begin()));
    }
  }
  return fold;
}

}  // namespace tessera::stages
