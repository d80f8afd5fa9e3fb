#include "foundation/kernels/score_histogram.h"

#include <bit>
#include <cassert>
#include <numeric>

namespace tessera::kernels {

void ScoreHistogram::add(std::span<const float> values) {
  std::uint64_t zeros = 0;
  for (const float value : values) {
    ++counts_[std::bit_cast<std::uint32_t>(value) >> 16];
    zeros += value == 0 ? 1 : 0;
  }
  counts_[0] -= zeros;
}

ScoreHistogram& ScoreHistogram::operator+=(const ScoreHistogram& other) {
  for (std::size_t bin = 0; bin < kBins; ++bin) counts_[bin] += other.counts_[bin];
  return *this;
}

std::uint64_t ScoreHistogram::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

float ScoreHistogram::ranked(std::uint64_t rank) const {
  std::size_t bin = 0;
  for (std::uint64_t below = counts_[0]; below <= rank; below += counts_[bin]) {
    ++bin;
    assert(bin < kBins);
  }
  return std::bit_cast<float>(static_cast<std::uint32_t>(bin) << 16);
}

}  // namespace tessera::kernels
