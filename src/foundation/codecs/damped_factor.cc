#include "foundation/codecs/damped_factor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/kernels/squared_error.h"

namespace tessera::codecs {
namespace {

constexpr double kLeastMean = 1e-30;
constexpr double kLeastRaisedDamping = 1e-6, kLargestDamping = 1000;

void require_finite(std::span<const float> hessian, std::size_t columns) {
  const auto bad = kernels::find_non_finite(hessian);
  if (!bad) return;
  throw Error(fmt::format(
      "the inputs' second moment of columns {} and {} is {}: the model's activations overflow, or a weight "
      "before this linear is damaged",
      *bad / columns, *bad % columns, hessian[*bad]));
}

double mean_diagonal(std::span<const float> matrix, std::size_t size) {
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += matrix[i * size + i];
  return sum / static_cast<double>(size);
}

}  // namespace

DampedFactor factor_damped(std::vector<float>& hessian, std::size_t columns, double damping, int threads) {
  assert(hessian.size() == columns * columns && damping >= 0);
  require_finite(hessian, columns);
  double mean = mean_diagonal(hessian, columns);
  if (!(mean >= kLeastMean)) mean = 1;
  double added = 0;
  const auto add_to_diagonal = [&](double value) {
    for (std::size_t i = 0; i < columns; ++i) hessian[i * columns + i] += static_cast<float>(value);
    added += value;
  };
  add_to_diagonal(damping * mean);
  auto factor = kernels::UpperFactor::of(hessian, columns, threads);
  while (!factor) {
    const double raised = std::max(10 * damping, kLeastRaisedDamping);
    if (raised > kLargestDamping) {
      throw Error(
          fmt::format("the inputs' second moments are not positive definite with a damping of {}", damping));
    }
    add_to_diagonal((raised - damping) * mean);
    damping = raised;
    factor = kernels::UpperFactor::of(hessian, columns, threads);
  }
  return {std::move(*factor), damping, added};
}

}  // namespace tessera::codecs
