// What encoding cost one tensor.
#pragma once

#include <optional>

#include "foundation/kernels/squared_error.h"

namespace tessera {

struct EncodingError {
  kernels::ErrorSums sums;
  bool has_importance = false;

  /// Squared error as a share of the weights' energy; 0 for an exact copy.
  double relative() const { return sums.energy > 0 ? sums.error / sums.energy : 0; }
  /// The same under the importance of the columns; empty without importance.
  std::optional<double> weighted_relative() const {
    if (!has_importance) return std::nullopt;
    return sums.weighted_energy > 0 ? sums.weighted_error / sums.weighted_energy : 0;
  }
};

}  // namespace tessera
