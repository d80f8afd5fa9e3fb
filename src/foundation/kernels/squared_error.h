// How far a decoded copy of weights is from the weights: plain and importance-weighted squared error, with
// the energies that make them relative.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace tessera::kernels {

/// Sums over a range of rows. With importance w[c]: weighted_error = sum w[c] (x - y)^2, weighted_energy =
/// sum w[c] x^2.
struct ErrorSums {
  double error = 0;   ///< sum (x - y)^2
  double energy = 0;  ///< sum x^2
  double weighted_error = 0;
  double weighted_energy = 0;

  ErrorSums& operator+=(const ErrorSums& other);
  bool operator==(const ErrorSums&) const = default;
};

/// `weights` and `decoded` are [rows, columns]; `importance` is [columns] or empty (the weighted sums then
/// stay 0). Adds within a row in float32 over SIMD lanes, across rows in float64.
ErrorSums sum_squared_error(std::span<const float> weights, std::span<const float> decoded,
                            std::size_t columns, std::span<const float> importance);

/// Index of the first NaN or infinity, or empty.
std::optional<std::size_t> find_non_finite(std::span<const float> values);

}  // namespace tessera::kernels
