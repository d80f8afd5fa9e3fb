// Allocations against brute force where that can be had, and against bounds where it cannot.
#include "stages/plan_dynamic/allocate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "foundation/base/error.h"

namespace tessera::stages {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Items = std::vector<AllocationItem>;

std::uint64_t least_bytes(const Items& items) {
  std::uint64_t bytes = 0;
  for (const auto& item : items) bytes += std::ranges::min(item, {}, &AllocationOption::bytes).bytes;
  return bytes;
}

std::uint64_t most_bytes(const Items& items) {
  std::uint64_t bytes = 0;
  for (const auto& item : items) bytes += std::ranges::max(item, {}, &AllocationOption::bytes).bytes;
  return bytes;
}

double best_loss(std::span<const AllocationItem> items, std::uint64_t budget) {
  if (items.empty()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (const auto& option : items.front()) {
    if (option.bytes <= budget)
      best = std::min(best, option.loss + best_loss(items.subspan(1), budget - option.bytes));
  }
  return best;
}

/// Sizes and losses without any order: many options are dominated or off the hull.
Items random_items(std::mt19937& random, std::size_t count, std::size_t options) {
  std::uniform_int_distribution<std::uint64_t> bytes(1, 1000);
  std::uniform_real_distribution<double> loss(0, 1);
  Items items(count);
  for (auto& item : items) {
    for (std::size_t k = 0; k < options; ++k) item.push_back({bytes(random), loss(random)});
  }
  return items;
}

/// A model's tensors: sizes of a few kinds, types from 1.56 to 8.5 bits per weight, losses that fall about
/// fourfold a bit and are not quite convex.
Items model_items(std::size_t count, std::size_t options, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  constexpr std::uint64_t kWeights[] = {1u << 20, 1u << 22, 3u << 22, 11u << 20};
  Items items(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t weights = kWeights[i % std::size(kWeights)];
    const double scale = std::exp(normal(random));
    for (std::size_t k = 0; k < options; ++k) {
      const double bits = 1.5625 + (8.5 - 1.5625) * static_cast<double>(k) / static_cast<double>(options - 1);
      const auto blocks = static_cast<std::uint64_t>(std::lround(32 * bits));
      items[i].push_back(
          {weights / 256 * blocks, scale * std::pow(4, -bits) * std::exp(0.1 * normal(random))});
    }
  }
  return items;
}

void expect_consistent(const Items& items, const Allocation& allocation) {
  ASSERT_EQ(allocation.choices.size(), items.size());
  std::uint64_t bytes = 0;
  double loss = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    bytes += items[i].at(allocation.choices[i]).bytes;
    loss += items[i][allocation.choices[i]].loss;
  }
  EXPECT_EQ(allocation.bytes, bytes);
  EXPECT_DOUBLE_EQ(allocation.loss, loss);
}

TEST(Allocate, IsCloseToTheBestOfAllOnSmallProblems) {
  std::mt19937 random(7);
  double excess = 0;
  double range = 0;
  for (int problem = 0; problem < 200; ++problem) {
    const Items items = random_items(random, 6, 5);
    const std::uint64_t least = least_bytes(items);
    const std::uint64_t budget = least + (most_bytes(items) - least) * (problem % 20) / 20;
    const auto allocation = allocate(items, budget);
    expect_consistent(items, allocation);
    EXPECT_LE(allocation.bytes, budget);
    const double best = best_loss(items, budget);
    EXPECT_GE(allocation.loss, best - 1e-12);
    excess += allocation.loss - best;
    range += best_loss(items, least) - best;
  }
  EXPECT_LT(excess, 0.02 * range);
}

TEST(Allocate, IsNeverWorseThanTheHullPointBelowTheBudget) {
  const Items items = model_items(40, 14, 3);
  for (const auto& point : allocation_curve(items, 1000)) {
    const auto allocation = allocate(items, point.bytes);
    EXPECT_LE(allocation.loss, point.loss * (1 + 1e-9));
    EXPECT_LE(allocation.bytes, point.bytes);
  }
}

TEST(Allocate, FillsTheBudgetOfRealisticModels) {
  for (const std::size_t count : {40u, 200u}) {
    const Items items = model_items(count, 14, 11);
    const std::uint64_t least = least_bytes(items);
    const auto largest = allocation_curve(items, 2).back().bytes;
    for (int step = 1; step <= 200; ++step) {
      const std::uint64_t budget = least + (largest - least) * step / 200;
      const auto allocation = allocate(items, budget);
      EXPECT_LE(allocation.bytes, budget);
      EXPECT_GE(static_cast<double>(allocation.bytes), 0.995 * static_cast<double>(budget))
          << count << " " << step;
    }
  }
}

TEST(Allocate, LossFallsAsTheBudgetGrows) {
  const Items items = model_items(100, 14, 5);
  const std::uint64_t least = least_bytes(items);
  double last = std::numeric_limits<double>::infinity();
  for (int step = 0; step <= 50; ++step) {
    const auto allocation = allocate(items, least + (most_bytes(items) - least) * step / 50);
    EXPECT_LE(allocation.loss, last);
    last = allocation.loss;
  }
}

TEST(Allocate, GivesTheSameTwice) {
  const Items items = model_items(60, 14, 9);
  const auto budget = (least_bytes(items) + most_bytes(items)) / 2;
  EXPECT_EQ(allocate(items, budget).choices, allocate(items, budget).choices);
}

TEST(Allocate, TakesTheLargestOptionThatFitsASingleItem) {
  const Items items = {{{10, 3.0}, {20, 2.0}, {30, 1.0}}};
  EXPECT_THAT(allocate(items, 10).choices, ElementsAre(0));
  EXPECT_THAT(allocate(items, 29).choices, ElementsAre(1));
  EXPECT_THAT(allocate(items, 1000).choices, ElementsAre(2));
}

TEST(Allocate, OfEqualItemsTheFirstComesFirst) {
  const AllocationItem item = {{10, 1.0}, {20, 0.5}};
  EXPECT_THAT(allocate(Items{item, item, item}, 40).choices, ElementsAre(1, 0, 0));
  EXPECT_THAT(allocate(Items{item, item, item}, 50).choices, ElementsAre(1, 1, 0));
}

TEST(Allocate, PaysNothingForOptionsOfEqualLoss) {
  const Items items = {{{10, 0.5}, {20, 0.5}}, {{10, 0.0}, {30, 0.0}}};
  const auto allocation = allocate(items, 100);
  EXPECT_THAT(allocation.choices, ElementsAre(0, 0));
  EXPECT_EQ(allocation.bytes, 20u);
}

TEST(Allocate, UsesAnOptionAboveTheHullWhereTheHullsDoNotFit) {
  // (15, 1.9) is above the line from (10, 2) to (40, 0).
  const Items items = {{{10, 2.0}, {15, 1.9}, {40, 0.0}}};
  EXPECT_THAT(allocate(items, 39).choices, ElementsAre(1));
}

TEST(Allocate, NeverTakesADominatedOption) {
  const Items items = {{{10, 2.0}, {12, 2.5}, {20, 1.0}, {20, 1.5}}};
  EXPECT_THAT(allocate(items, 19).choices, ElementsAre(0));
  EXPECT_THAT(allocate(items, 20).choices, ElementsAre(2));
}

TEST(Allocate, GivesUpASmallGainForALargerOneThatThenFits) {
  // Greedy takes the first item's step (rate 0.1) and then has no room for the second's, which saves more.
  const Items items = {{{0, 1.0}, {10, 0.0}}, {{0, 1.9}, {20, 0.0}}};
  EXPECT_THAT(allocate(items, 20).choices, ElementsAre(0, 1));
}

TEST(Allocate, BelowTheLeastSizeSaysTheLeastSize) {
  const Items items = {{{10, 2.0}, {20, 1.0}}, {{7, 1.0}}};
  EXPECT_EQ(allocate(items, 17).bytes, 17u);
  try {
    allocate(items, 16);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("least possible is 17 bytes"));
  }
}

TEST(Allocate, OfNothingIsNothing) {
  EXPECT_EQ(allocate({}, 0).bytes, 0u);
  EXPECT_EQ(allocation_curve({}, 2).size(), 1u);
}

TEST(AllocationCurve, RunsFromTheSmallestToTheLeastLossAndIsConvex) {
  const Items items = model_items(30, 14, 2);
  const auto curve = allocation_curve(items, 5000);
  EXPECT_EQ(curve.front().bytes, least_bytes(items));
  double best = 0;
  for (const auto& item : items) best += std::ranges::min(item, {}, &AllocationOption::loss).loss;
  EXPECT_NEAR(curve.back().loss, best, 1e-12);
  double last_rate = std::numeric_limits<double>::infinity();
  for (std::size_t k = 1; k < curve.size(); ++k) {
    expect_consistent(items, curve[k]);
    const double rate =
        (curve[k - 1].loss - curve[k].loss) / static_cast<double>(curve[k].bytes - curve[k - 1].bytes);
    EXPECT_GT(rate, 0);
    EXPECT_LE(rate, last_rate * (1 + 1e-6));
    last_rate = rate;
  }
}

TEST(AllocationCurve, IsThinnedEvenlyInBytes) {
  const Items items = model_items(100, 14, 2);
  const auto curve = allocation_curve(items, 40);
  EXPECT_EQ(curve.size(), 40u);
  const double even = static_cast<double>(curve.back().bytes - curve.front().bytes) / 39;
  for (std::size_t k = 1; k < curve.size(); ++k)
    EXPECT_LT(static_cast<double>(curve[k].bytes - curve[k - 1].bytes), 1.5 * even);
  EXPECT_EQ(allocation_curve(items, 2).size(), 2u);
}

}  // namespace
}  // namespace tessera::stages
