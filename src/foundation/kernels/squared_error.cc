#include "foundation/kernels/squared_error.h"

#include <cassert>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/squared_error.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;

/// sums[0..1]: error and energy of one row.
void row_error(const float* x, const float* y, std::size_t count, float* sums) {
  const Tag d;
  auto error = hn::Zero(d);
  auto energy = hn::Zero(d);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto value = hn::LoadU(d, x + i);
    const auto difference = hn::Sub(value, hn::LoadU(d, y + i));
    error = hn::MulAdd(difference, difference, error);
    energy = hn::MulAdd(value, value, energy);
  }
  sums[0] = hn::GetLane(hn::SumOfLanes(d, error));
  sums[1] = hn::GetLane(hn::SumOfLanes(d, energy));
  for (; i < count; ++i) {
    sums[0] += (x[i] - y[i]) * (x[i] - y[i]);
    sums[1] += x[i] * x[i];
  }
}

/// sums[0..3]: error, energy, weighted error, weighted energy of one row.
void row_weighted_error(const float* x, const float* y, const float* w, std::size_t count, float* sums) {
  const Tag d;
  auto error = hn::Zero(d);
  auto energy = hn::Zero(d);
  auto weighted_error = hn::Zero(d);
  auto weighted_energy = hn::Zero(d);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto value = hn::LoadU(d, x + i);
    const auto weight = hn::LoadU(d, w + i);
    const auto difference = hn::Sub(value, hn::LoadU(d, y + i));
    const auto squared_error = hn::Mul(difference, difference);
    const auto squared = hn::Mul(value, value);
    error = hn::Add(squared_error, error);
    energy = hn::Add(squared, energy);
    weighted_error = hn::MulAdd(weight, squared_error, weighted_error);
    weighted_energy = hn::MulAdd(weight, squared, weighted_energy);
  }
  sums[0] = hn::GetLane(hn::SumOfLanes(d, error));
  sums[1] = hn::GetLane(hn::SumOfLanes(d, energy));
  sums[2] = hn::GetLane(hn::SumOfLanes(d, weighted_error));
  sums[3] = hn::GetLane(hn::SumOfLanes(d, weighted_energy));
  for (; i < count; ++i) {
    const float squared_error = (x[i] - y[i]) * (x[i] - y[i]);
    sums[0] += squared_error;
    sums[1] += x[i] * x[i];
    sums[2] += w[i] * squared_error;
    sums[3] += w[i] * x[i] * x[i];
  }
}

bool all_finite(const float* values, std::size_t count) {
  const Tag d;
  const hn::RebindToUnsigned<Tag> bits;
  auto largest = hn::Zero(bits);
  const auto magnitude = hn::Set(bits, 0x7FFFFFFFu);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    largest = hn::Max(largest, hn::And(hn::BitCast(bits, hn::LoadU(d, values + i)), magnitude));
  }
  bool finite = hn::AllTrue(bits, hn::Lt(largest, hn::Set(bits, 0x7F800000u)));
  for (; i < count; ++i) finite = finite && std::isfinite(values[i]);
  return finite;
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_error);
HWY_EXPORT(row_weighted_error);
HWY_EXPORT(all_finite);

}  // namespace

ErrorSums& ErrorSums::operator+=(const ErrorSums& other) {
  error += other.error;
  energy += other.energy;
  weighted_error += other.weighted_error;
  weighted_energy += other.weighted_energy;
  return *this;
}

ErrorSums sum_squared_error(std::span<const float> weights, std::span<const float> decoded,
                            std::size_t columns, std::span<const float> importance) {
  assert(weights.size() == decoded.size() && columns > 0 && weights.size() % columns == 0);
  assert(importance.empty() || importance.size() == columns);
  ErrorSums total;
  for (std::size_t row = 0; row < weights.size(); row += columns) {
    float sums[4] = {};
    if (importance.empty()) {
      HWY_DYNAMIC_DISPATCH(row_error)(weights.data() + row, decoded.data() + row, columns, sums);
    } else {
      HWY_DYNAMIC_DISPATCH(row_weighted_error)
      (weights.data() + row, decoded.data() + row, importance.data(), columns, sums);
    }
    total += {sums[0], sums[1], sums[2], sums[3]};
  }
  return total;
}

std::optional<std::size_t> find_non_finite(std::span<const float> values) {
  if (HWY_DYNAMIC_DISPATCH(all_finite)(values.data(), values.size())) return std::nullopt;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) return i;
  }
  return std::nullopt;
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
