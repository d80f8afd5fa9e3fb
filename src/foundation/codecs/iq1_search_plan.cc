#include "foundation/codecs/iq1_search_plan.h"

#include <algorithm>
#include <utility>

namespace tessera::codecs {
namespace {

std::vector<std::vector<std::uint16_t>> lower_halves_of_each_upper_half() {
  std::vector<std::vector<std::uint16_t>> sets(kTernaryHalves);
  for (const std::size_t number : kIq1Numbers)
    sets[number / kTernaryHalves].push_back(static_cast<std::uint16_t>(number % kTernaryHalves));
  return sets;
}

Iq1SearchPlan make_plan() {
  constexpr std::size_t kChunk = Iq1SearchPlan::kChunk;
  auto [pairs, sets] = share_pairs(lower_halves_of_each_upper_half(), kTernaryHalves, Iq1SearchPlan::kPairs);
  Iq1SearchPlan plan;
  plan.pairs = std::move(pairs);
  for (std::size_t upper = 0; upper < kTernaryHalves; ++upper) {
    const std::size_t chunks = (sets[upper].size() + kChunk - 1) / kChunk;
    plan.runs.push_back({static_cast<std::uint8_t>(upper), static_cast<std::uint8_t>(chunks)});
  }
  std::ranges::stable_sort(plan.runs, {}, &Iq1SearchPlan::Run::chunks);
  for (const auto& run : plan.runs) {
    const std::size_t end = plan.elements.size() + run.chunks * kChunk;
    for (const std::uint16_t element : sets[run.upper])
      plan.elements.push_back(static_cast<std::uint8_t>(element));
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
