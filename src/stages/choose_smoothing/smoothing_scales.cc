#include "stages/choose_smoothing/smoothing_scales.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>

namespace tessera::stages {

std::vector<double> smoothing_scales(std::span<const float> input_maxima,
                                     std::span<const float> weight_maxima, double alpha) {
  assert(input_maxima.size() == weight_maxima.size() && alpha >= 0 && alpha <= 1);
  std::vector<double> scales(input_maxima.size(), 1);
  for (std::size_t j = 0; j < scales.size(); ++j) {
    const double input = input_maxima[j];
    const double weight = weight_maxima[j];
    if (input == 0 || weight == 0) continue;
    scales[j] = std::clamp(std::pow(input, alpha) / std::pow(weight, 1 - alpha), kLeastScale, kGreatestScale);
  }
  return scales;
}

}  // namespace tessera::stages
