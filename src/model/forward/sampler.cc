#include "model/forward/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "foundation/base/error.h"

namespace tessera::model {

void check(const SamplingSettings& settings) {
  if (!(settings.temperature >= 0) || settings.temperature > std::numeric_limits<float>::max()) {
    throw UsageError(
        fmt::format("the temperature must be 0 or a positive number, not {}", settings.temperature));
  }
  if (!(settings.top_p > 0 && settings.top_p <= 1)) {
    throw UsageError(fmt::format("top-p must be above 0 and at most 1, not {}", settings.top_p));
  }
}

Sampler::Sampler(const SamplingSettings& settings) : settings_(settings), generator_(settings.seed) {
  check(settings);
}

std::int32_t Sampler::choose(std::span<const float> logits) {
  assert(!logits.empty());
  if (settings_.temperature == 0) {
    return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
  }
  const auto tokens = candidates(logits);
  const double largest = logits[tokens.front()];
  const auto weight = [&](std::uint32_t token) {
    return std::exp((logits[token] - largest) / settings_.temperature);
  };
  double total = 0;
  for (const auto token : tokens) total += weight(token);
  const double target = next_uniform() * total;
  double sum = 0;
  for (const auto token : tokens) {
    sum += weight(token);
    if (sum > target) return static_cast<std::int32_t>(token);
  }
  // Only rounding leads here: u is below 1.
  return static_cast<std::int32_t>(tokens.back());
}

std::span<const std::uint32_t> Sampler::candidates(std::span<const float> logits) {
  order_.resize(logits.size());
  std::iota(order_.begin(), order_.end(), 0u);
  const auto before = [&](std::uint32_t a, std::uint32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  const std::size_t kept =
      settings_.top_k == 0 ? order_.size() : std::min<std::size_t>(settings_.top_k, order_.size());
  std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept), order_.end(), before);
  const auto tokens = std::span<const std::uint32_t>(order_).first(kept);
  if (settings_.top_p == 1) return tokens;
  const double largest = logits[tokens.front()];
  double total = 0;
  for (const auto token : tokens) total += std::exp(logits[token] - largest);
  double sum = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    sum += std::exp(logits[tokens[i]] - largest);
    if (sum >= settings_.top_p * total) return tokens.first(i + 1);
  }
  return tokens;
}

double Sampler::next_uniform() { return static_cast<double>(generator_() >> 11) * 0x1p-53; }

}  // namespace tessera::model
