#include "foundation/kernels/rope.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <numbers>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/kernels/rope.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {

/// `direction` is 1, or -1 to turn back.
void rotate_halves(float* head, const float* cosines, const float* sines, float direction,
                   std::size_t pairs) {
  const auto directions = hn::Set(Tag(), direction);
  for_each_vector(pairs, [&](std::size_t i, auto lanes) HWY_ATTR {
    const auto a = lanes.load(head + i);
    const auto b = lanes.load(head + pairs + i);
    const auto cosine = lanes.load(cosines + i);
    const auto sine = hn::Mul(directions, lanes.load(sines + i));
    lanes.store(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), head + i);
    lanes.store(hn::MulAdd(a, sine, hn::Mul(b, cosine)), head + pairs + i);
  });
}

void rotate_interleaved(float* head, const float* cosines, const float* sines, float direction,
                        std::size_t pairs) {
  const Tag d;
  const auto directions = hn::Set(d, direction);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= pairs; i += hn::Lanes(d)) {
    Vector a;
    Vector b;
    hn::LoadInterleaved2(d, head + 2 * i, a, b);
    const auto cosine = hn::LoadU(d, cosines + i);
    const auto sine = hn::Mul(directions, hn::LoadU(d, sines + i));
    hn::StoreInterleaved2(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), hn::MulAdd(a, sine, hn::Mul(b, cosine)),
                          d, head + 2 * i);
  }
  for (; i < pairs; ++i) {
    const float a = head[2 * i];
    const float b = head[2 * i + 1];
    const float sine = direction * sines[i];
    head[2 * i] = a * cosines[i] - b * sine;
    head[2 * i + 1] = b * cosines[i] + a * sine;
  }
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace {

HWY_EXPORT(rotate_halves);
HWY_EXPORT(rotate_interleaved);

void turn(std::span<float> head, const RopeTable& table, std::uint32_t position, float direction) {
  assert(table.dimensions() <= head.size());
  const auto cosines = table.cosines(position);
  const auto sines = table.sines(position);
  if (table.pairs() == RopePairs::half_split) {
    HWY_DYNAMIC_DISPATCH(rotate_halves)
    (head.data(), cosines.data(), sines.data(), direction, cosines.size());
  } else {
    HWY_DYNAMIC_DISPATCH(rotate_interleaved)
    (head.data(), cosines.data(), sines.data(), direction, cosines.size());
  }
}

/// The (fractional) pair that turns `turns` times over the original context: solves
/// context base^(-2i/n) = 2 pi turns for i.
double pair_with_turns(const RopeSettings& settings, double turns) {
  const double wavelength = settings.yarn->original_context / (2 * std::numbers::pi * turns);
  return settings.dimensions * std::log(wavelength) / (2 * std::log(settings.base));
}

/// How much of its own frequency YaRN leaves to a pair: 1 for fast pairs, 0 for slow ones.
double kept_frequency(const RopeSettings& settings, std::size_t pair) {
  const YarnSettings& yarn = *settings.yarn;
  double first = pair_with_turns(settings, yarn.beta_fast);
  double last = pair_with_turns(settings, yarn.beta_slow);
  if (yarn.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, settings.dimensions - 1.0);
  const double ramp = (static_cast<double>(pair) - first) / std::max(last - first, 0.001);
  return yarn.extrapolation_mix * (1 - std::clamp(ramp, 0.0, 1.0));
}

/// Angle per position of a pair.
double frequency(const RopeSettings& settings, std::size_t pair) {
  double own = std::pow(settings.base, -2.0 * static_cast<double>(pair) / settings.dimensions);
  if (!settings.frequency_divisors.empty()) own /= double{settings.frequency_divisors[pair]};
  const double kept = settings.yarn ? kept_frequency(settings, pair) : 0.0;
  return own * (settings.frequency_scale * (1 - kept) + kept);
}

double magnitude(const RopeSettings& settings) {
  if (!settings.yarn) return 1;
  if (settings.yarn->attention_factor) return *settings.yarn->attention_factor;
  const bool stretched = settings.frequency_scale < 1 && settings.yarn->extrapolation_mix != 0;
  return stretched ? 0.1 * std::log(1 / settings.frequency_scale) + 1 : 1;
}

}  // namespace

RopeTable::RopeTable(const RopeSettings& settings, std::uint32_t positions)
    : dimensions_(settings.dimensions), positions_(positions), pairs_(settings.pairs) {
  const std::size_t pairs = dimensions_ / 2;
  assert(dimensions_ % 2 == 0);
  assert(settings.frequency_divisors.empty() || settings.frequency_divisors.size() == pairs);
  cosines_.resize(positions * pairs);
  sines_.resize(positions * pairs);
  const double scale = magnitude(settings);
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const double angle = frequency(settings, pair);
    for (std::size_t position = 0; position < positions; ++position) {
      cosines_[position * pairs + pair] =
          static_cast<float>(scale * std::cos(static_cast<double>(position) * angle));
      sines_[position * pairs + pair] =
          static_cast<float>(scale * std::sin(static_cast<double>(position) * angle));
    }
  }
}

std::span<const float> RopeTable::row(const std::vector<float>& table, std::uint32_t position) const {
  assert(position < positions_);
  const std::size_t pairs = dimensions_ / 2;
  return std::span(table).subspan(position * pairs, pairs);
}

void rotate(std::span<float> head, const RopeTable& table, std::uint32_t position) {
  turn(head, table, position, 1.0f);
}

void rotate_back(std::span<float> head, const RopeTable& table, std::uint32_t position) {
  turn(head, table, position, -1.0f);
}

}  // namespace tessera::kernels
#endif  // HWY_ONCE
