#include "foundation/kernels/logit_statistics.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/logit_statistics.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <hwy/contrib/algo/find-inl.h>

#include "foundation/kernels/exp-inl.h"
#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// What lanes beyond the row hold: no maximum, and e to its power is 0.
constexpr float kLowestLogit = std::numeric_limits<float>::lowest();

/// Tokens whose terms are added in float32.
constexpr std::size_t kBlockTokens = 4096;

/// Sum in float64 over blocks of what sum_block(first, count) gives.
template <class SumBlock>
HWY_INLINE double sum_blocks(std::size_t count, const SumBlock& sum_block) {
  double sum = 0;
  for (std::size_t first = 0; first < count; first += kBlockTokens) {
    sum += double{sum_block(first, std::min(kBlockTokens, count - first))};
  }
  return sum;
}

float logits_maximum(const float* logits, std::size_t count) {
  const Tag d;
  const auto larger = [](Vector x, Vector y) HWY_ATTR { return hn::Max(x, y); };
  const auto step = [&](std::size_t i, auto lanes, Vector largest)
                        HWY_ATTR { return hn::Max(largest, lanes.load(logits + i, kLowestLogit)); };
  return hn::GetLane(hn::MaxOfLanes(d, fold_vectors(count, hn::Set(d, kLowestLogit), step, larger)));
}

/// Index of the first logit of this value; `count` when there is none.
std::size_t find_logit(const float* logits, float value, std::size_t count) {
  return hn::Find(Tag(), value, logits, count);
}

/// sum e^(x - maximum)
double sum_of_exponentials(const float* logits, float maximum, std::size_t count) {
  const auto maxima = hn::Set(Tag(), maximum);
  return sum_blocks(count, [&](std::size_t first, std::size_t block) HWY_ATTR {
    return sum_vectors(block, [&](std::size_t i, auto lanes, Vector sum) HWY_ATTR {
      return hn::Add(sum, exp_lanes(hn::Sub(lanes.load(logits + first + i, kLowestLogit), maxima)));
    });
  });
}

/// (e^-d - 1 + d) / d^2 for |d| <= 1/2: its power series, whose first term left out is below 1e-9.
HWY_INLINE Vector series_of_divergence(Vector d) {
  constexpr float kTerms[] = {1.0f / 40320, -1.0f / 5040, 1.0f / 720, -1.0f / 120,
                              1.0f / 24,    -1.0f / 6,    0.5f};
  const Tag tag;
  auto sum = hn::Set(tag, -1.0f / 362880);
  for (const float term : kTerms) sum = hn::MulAdd(sum, d, hn::Set(tag, term));
  return sum;
}

/// sum p (e^-d - 1 + d) with d = ln(p / q), of rows whose exponentials sum to p_sum and q_sum.
double row_divergence(const float* p_logits, const float* q_logits, const ExponentialSum& p_sum,
                      const ExponentialSum& q_sum, std::size_t count) {
  const Tag tag;
  const auto probability = [&](Vector logits, const ExponentialSum& sum) HWY_ATTR {
    const auto exponential = exp_lanes(hn::Sub(logits, hn::Set(tag, sum.maximum)));
    return hn::Mul(exponential, hn::Set(tag, static_cast<float>(1 / sum.sum)));
  };
  const auto normalization = static_cast<float>(p_sum.logarithm() - q_sum.logarithm());
  return sum_blocks(count, [&](std::size_t first, std::size_t block) HWY_ATTR {
    return sum_vectors(block, [&](std::size_t i, auto lanes, Vector sum) HWY_ATTR {
      const auto x = lanes.load(p_logits + first + i, kLowestLogit);
      const auto y = lanes.load(q_logits + first + i, kLowestLogit);
      const auto p = probability(x, p_sum);
      const auto q = probability(y, q_sum);
      const auto d = hn::Sub(hn::Sub(x, y), hn::Set(tag, normalization));
      const auto near = hn::Mul(p, hn::Mul(hn::Mul(d, d), series_of_divergence(d)));
      const auto far = hn::MulAdd(p, d, hn::Sub(q, p));
      return hn::Add(sum, hn::IfThenElse(hn::Le(hn::Abs(d), hn::Set(tag, 0.5f)), near, far));
    });
  });
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(logits_maximum);
HWY_EXPORT(find_logit);
HWY_EXPORT(sum_of_exponentials);
HWY_EXPORT(row_divergence);

ExponentialSum sum_row(std::span<const float> logits) {
  const float maximum = HWY_DYNAMIC_DISPATCH(logits_maximum)(logits.data(), logits.size());
  return {maximum, HWY_DYNAMIC_DISPATCH(sum_of_exponentials)(logits.data(), maximum, logits.size())};
}

LogitStatistics describe_row(std::span<const float> logits, const ExponentialSum& row, std::size_t target) {
  assert(target < logits.size());
  const double log_sum_exp = row.logarithm();
  return {.log_sum_exp = log_sum_exp,
          .target_log_probability = double{logits[target]} - log_sum_exp,
          .top = HWY_DYNAMIC_DISPATCH(find_logit)(logits.data(), row.maximum, logits.size())};
}

}  // namespace

LogitStatistics logit_statistics(std::span<const float> logits, std::size_t target) {
  return describe_row(logits, sum_row(logits), target);
}

LogitComparison compare_logits(std::span<const float> original, std::span<const float> quantized,
                               std::size_t target) {
  assert(original.size() == quantized.size());
  const ExponentialSum p = sum_row(original);
  const ExponentialSum q = sum_row(quantized);
  return {.original = describe_row(original, p, target),
          .quantized = describe_row(quantized, q, target),
          .kl_divergence =
              HWY_DYNAMIC_DISPATCH(row_divergence)(original.data(), quantized.data(), p, q, original.size())};
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
