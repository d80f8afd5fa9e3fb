#include "foundation/kernels/log_sum_exp.h"

#include <cmath>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/log_sum_exp.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/exp-inl.h"
#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

float row_maximum(const float* values, std::size_t count) { return largest_value(values, count); }

float sum_exponentials(const float* values, float shift, std::size_t count) {
  const auto shifts = hn::Set(Tag(), shift);
  return sum_vectors(count, [&](std::size_t i, auto lanes, Vector sum) HWY_ATTR {
    return hn::Add(sum, exp_lanes(hn::Sub(lanes.load(values + i, kLowest), shifts)));
  });
}

void store_exponentials(float* values, float shift, std::size_t count) {
  const auto shifts = hn::Set(Tag(), shift);
  for_each_vector(count, [&](std::size_t i, auto lanes) HWY_ATTR {
    lanes.store(exp_lanes(hn::Sub(lanes.load(values + i), shifts)), values + i);
  });
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(row_maximum);
HWY_EXPORT(sum_exponentials);
HWY_EXPORT(store_exponentials);

}  // namespace

void LogSumExp::add(std::span<const float> values) {
  if (values.empty()) return;
  const float largest = HWY_DYNAMIC_DISPATCH(row_maximum)(values.data(), values.size());
  if (largest > maximum_) {
    sum_ *= std::exp(double{maximum_} - double{largest});
    maximum_ = largest;
  }
  sum_ += double{HWY_DYNAMIC_DISPATCH(sum_exponentials)(values.data(), maximum_, values.size())};
}

double LogSumExp::value() const { return double{maximum_} + std::log(sum_); }

void to_probabilities(std::span<float> values, float log_sum) {
  HWY_DYNAMIC_DISPATCH(store_exponentials)(values.data(), log_sum, values.size());
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
