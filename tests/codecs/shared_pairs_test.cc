#include "foundation/codecs/shared_pairs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace tessera::codecs {
namespace {

using Sets = std::vector<std::vector<std::uint16_t>>;

/// The elements that a set stands for, its pairs taken apart.
std::set<std::uint16_t> expanded(std::vector<std::uint16_t> set, std::size_t elements,
                                 const std::vector<SharedPairs::Pair>& pairs) {
  std::set<std::uint16_t> result;
  while (!set.empty()) {
    const std::uint16_t element = set.back();
    set.pop_back();
    if (element < elements) {
      EXPECT_TRUE(result.insert(element).second) << element;
    } else {
      const auto& pair = pairs.at(element - elements);
      set.push_back(pair.first);
      set.push_back(pair.second);
    }
  }
  return result;
}

std::size_t total(const Sets& sets) {
  std::size_t sum = 0;
  for (const auto& set : sets) sum += set.size();
  return sum;
}

TEST(SharedPairs, StandForTheSameSetsInFewerElements) {
  constexpr std::size_t kElements = 20;
  std::mt19937 random(1);
  Sets sets(30);
  for (auto& set : sets) {
    for (std::uint16_t element = 0; element < kElements; ++element) {
      if (random() % 2 == 0) set.push_back(element);
    }
  }
  const auto shared = share_pairs(sets, kElements, 16);
  ASSERT_EQ(shared.sets.size(), sets.size());
  EXPECT_EQ(shared.pairs.size(), 16u);
  EXPECT_LT(total(shared.sets) + 2 * shared.pairs.size(), total(sets));
  for (std::size_t i = 0; i < sets.size(); ++i) {
    EXPECT_EQ(expanded(shared.sets[i], kElements, shared.pairs),
              std::set<std::uint16_t>(sets[i].begin(), sets[i].end()));
    EXPECT_TRUE(std::ranges::is_sorted(shared.sets[i]));
  }
  for (std::size_t i = 0; i < shared.pairs.size(); ++i) {
    EXPECT_LT(shared.pairs[i].first, kElements + i);
    EXPECT_LT(shared.pairs[i].second, kElements + i);
  }
}

TEST(SharedPairs, LeaveWhatTooFewSetsHaveInCommon) {
  const Sets sets{{0, 1}, {0, 1}, {0, 1}, {2}, {}};
  const auto shared = share_pairs(sets, 3, 8);
  EXPECT_TRUE(shared.pairs.empty());
  EXPECT_EQ(shared.sets, sets);
}

}  // namespace
}  // namespace tessera::codecs
