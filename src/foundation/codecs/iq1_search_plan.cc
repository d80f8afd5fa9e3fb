#include "foundation/codecs/iq1_search_plan.h"

#include <algorithm>
#include <array>
#include <bitset>

namespace tessera::codecs {
namespace {

constexpr std::size_t kElements = Iq1SearchPlan::kElements;
using ElementSet = std::bitset<kElements>;
using Sets = std::array<ElementSet, kTernaryHalves>;  // one for each upper half

Sets lower_halves_of_each_upper_half() {
  Sets sets;
  for (const std::size_t number : kIq1Numbers) sets[number / kTernaryHalves].set(number % kTernaryHalves);
  return sets;
}

/// In how many sets each pair of elements occurs.
class PairCounts {
 public:
  explicit PairCounts(const Sets& sets) {
    for (const ElementSet& set : sets) count(set, 1);
  }

  void count(const ElementSet& set, int times) {
    for (std::size_t a = 0; a < kElements; ++a) {
      for (std::size_t b = a + 1; set[a] && b < kElements; ++b) {
        if (set[b]) counts_[a][b] += times;
      }
    }
  }

  Iq1SearchPlan::Pair most_frequent() const {
    std::size_t first = 0, second = 1;
    for (std::size_t a = 0; a < kElements; ++a) {
      for (std::size_t b = a + 1; b < kElements; ++b) {
        if (counts_[a][b] > counts_[first][second]) first = a, second = b;
      }
    }
    return {static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(second)};
  }

 private:
  std::array<std::array<int, kElements>, kElements> counts_{};
};

std::vector<Iq1SearchPlan::Pair> share_pairs(Sets& sets) {
  std::vector<Iq1SearchPlan::Pair> pairs;
  PairCounts counts(sets);
  for (std::size_t i = 0; i < Iq1SearchPlan::kPairs; ++i) {
    const auto pair = counts.most_frequent();
    for (ElementSet& set : sets) {
      if (!set[pair.first] || !set[pair.second]) continue;
      counts.count(set, -1);
      set.reset(pair.first).reset(pair.second).set(kTernaryHalves + i);
      counts.count(set, 1);
    }
    pairs.push_back(pair);
  }
  return pairs;
}

Iq1SearchPlan make_plan() {
  constexpr std::size_t kChunk = Iq1SearchPlan::kChunk;
  Sets sets = lower_halves_of_each_upper_half();
  Iq1SearchPlan plan;
  plan.pairs = share_pairs(sets);
  for (std::size_t upper = 0; upper < kTernaryHalves; ++upper) {
    const std::size_t chunks = (sets[upper].count() + kChunk - 1) / kChunk;
    plan.runs.push_back({static_cast<std::uint8_t>(upper), static_cast<std::uint8_t>(chunks)});
  }
  std::ranges::stable_sort(plan.runs, {}, &Iq1SearchPlan::Run::chunks);
  for (const auto& run : plan.runs) {
    const std::size_t end = plan.elements.size() + run.chunks * kChunk;
    for (std::size_t element = 0; element < kElements; ++element) {
      if (sets[run.upper][element]) plan.elements.push_back(static_cast<std::uint8_t>(element));
    }
    plan.elements.resize(end, plan.elements.back());
  }
  return plan;
}

}  // namespace

const Iq1SearchPlan& iq1_search_plan() {
  static const Iq1SearchPlan plan = make_plan();
  return plan;
}

}  // namespace tessera::codecs
