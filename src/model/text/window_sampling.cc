#include "model/text/window_sampling.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace tessera::model {
namespace {

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
  }

  /// Uniform below `bound`, which is above 0: numbers of the last, incomplete run of `bound` are drawn again.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t last_full = largest - (largest % bound + 1) % bound;
    std::uint64_t drawn = next();
    while (drawn > last_full) drawn = next();
    return drawn % bound;
  }

 private:
  std::uint64_t state_;
};

/// Shares `wanted` among the files in `open` by largest remainder, without regard to what they have.
std::vector<std::uint64_t> proportional(std::span<const double> weights, const std::vector<std::size_t>& open,
                                        std::uint64_t wanted) {
  double sum = 0;
  for (const std::size_t file : open) sum += weights[file];
  std::vector<std::uint64_t> shares;
  std::vector<double> remainders;
  for (const std::size_t file : open) {
    const double exact = static_cast<double>(wanted) * (weights[file] / sum);
    shares.push_back(static_cast<std::uint64_t>(exact));
    remainders.push_back(exact - std::floor(exact));
  }
  std::vector<std::size_t> order(open.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return remainders[i]; });
  std::uint64_t given = std::accumulate(shares.begin(), shares.end(), std::uint64_t{0});
  for (std::size_t i = 0; given < wanted; i = (i + 1) % order.size(), ++given) ++shares[order[i]];
  return shares;
}

}  // namespace

std::vector<std::uint64_t> windows_per_file(std::span<const double> weights,
                                            std::span<const std::uint64_t> available, std::uint64_t wanted) {
  assert(weights.size() == available.size());
  std::vector<std::uint64_t> taken(available.size(), 0);
  std::vector<std::size_t> open(available.size());
  std::iota(open.begin(), open.end(), std::size_t{0});
  std::uint64_t left = wanted;
  // Each round either satisfies everyone or closes the files that cannot give their share.
  while (left > 0 && !open.empty()) {
    const auto shares = proportional(weights, open, left);
    std::vector<std::size_t> still_open;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (shares[i] <= available[open[i]]) still_open.push_back(open[i]);
    }
    const bool satisfied = still_open.size() == open.size();
    for (std::size_t i = 0; i < open.size(); ++i) {
      const bool closes = shares[i] > available[open[i]];
      if (!satisfied && !closes) continue;
      taken[open[i]] = std::min(shares[i], available[open[i]]);
      left -= taken[open[i]];
    }
    if (satisfied) break;
    open = std::move(still_open);
  }
  return taken;
}

std::vector<std::uint64_t> draw_ascending(std::uint64_t total, std::uint64_t count, std::uint64_t seed) {
  assert(count <= total);
  SplitMix64 generator(seed);
  std::set<std::uint64_t> drawn;
  for (std::uint64_t last = total - count; last < total; ++last) {
    if (!drawn.insert(generator.below(last + 1)).second) drawn.insert(last);
  }
  return {drawn.begin(), drawn.end()};
}

}  // namespace tessera::model
