#include "stages/plan_dynamic/allocate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <random>

#include "foundation/base/error.h"

namespace tessera::stages {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

double uniform(std::mt19937& random, double from, double to) {
  return from + (to - from) * static_cast<double>(random()) / 4294967296.0;
}

/// Losses fall with bytes most of the time, in no regular way.
std::vector<AllocationItem> random_items(std::mt19937& random, std::size_t count, std::size_t options) {
  std::vector<AllocationItem> items(count);
  for (auto& item : items) {
    const double scale = std::exp(uniform(random, -2, 2));
    const double size = uniform(random, 10, 100);
    for (std::size_t i = 0; i < options; ++i) {
      const double bits = uniform(random, 1, 8);
      item.push_back(
          {static_cast<std::uint64_t>(size * bits), scale * std::exp2(-bits) * uniform(random, 0.7, 1.4)});
    }
  }
  return items;
}

/// Matrices of the sizes and types of a real model: 7 of a layer, 14 types.
std::vector<AllocationItem> model_items(std::size_t layers) {
  constexpr std::array kBits = {1.5625, 1.75,   2.0625, 2.3125, 2.5625, 2.625,  3.0625,
                                3.4375, 3.4375, 4.25,   4.5,    5.5,    6.5625, 8.5};
  constexpr std::array kWeights = {1u << 24, 1u << 22, 1u << 22, 1u << 24, 58720256u, 58720256u, 58720256u};
  std::mt19937 random(7);
  std::vector<AllocationItem> items;
  for (std::size_t i = 0; i < layers * kWeights.size(); ++i) {
    const auto weights = static_cast<double>(kWeights.at(i % kWeights.size()));
    const double scale = weights * 1e-9 * std::exp(uniform(random, -1.5, 1.5));
    AllocationItem item;
    for (const double bits : kBits) {
      item.push_back({static_cast<std::uint64_t>(weights * bits / 8),
                      scale * std::exp2(-2 * bits) * uniform(random, 0.8, 1.25)});
    }
    items.push_back(std::move(item));
  }
  return items;
}

/// Tries all choices.
std::optional<double> least_loss(std::span<const AllocationItem> items, std::uint64_t budget) {
  if (items.empty()) return 0;
  std::optional<double> best;
  for (const auto& option : items.front()) {
    if (option.bytes > budget) continue;
    const auto rest = least_loss(items.subspan(1), budget - option.bytes);
    if (rest && (!best || option.loss + *rest < *best)) best = option.loss + *rest;
  }
  return best;
}

void expect_consistent(std::span<const AllocationItem> items, const Allocation& allocation) {
  ASSERT_EQ(allocation.choices.size(), items.size());
  std::uint64_t bytes = 0;
  double loss = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    bytes += items[i].at(allocation.choices[i]).bytes;
    loss += items[i].at(allocation.choices[i]).loss;
  }
  EXPECT_EQ(allocation.bytes, bytes);
  EXPECT_DOUBLE_EQ(allocation.loss, loss);
}

std::uint64_t least_bytes(std::span<const AllocationItem> items) {
  std::uint64_t bytes = 0;
  for (const auto& item : items) bytes += std::ranges::min(item, {}, &AllocationOption::bytes).bytes;
  return bytes;
}

std::uint64_t most_bytes(std::span<const AllocationItem> items) {
  std::uint64_t bytes = 0;
  for (const auto& item : items) bytes += std::ranges::max(item, {}, &AllocationOption::bytes).bytes;
  return bytes;
}

TEST(Allocate, SmallProblemsAreSolvedWithinAFewPercentOfTheOptimum) {
  std::mt19937 random(1);
  double excess = 0;
  constexpr int kProblems = 300;
  for (int problem = 0; problem < kProblems; ++problem) {
    const auto items = random_items(random, 6, 5);
    const auto least = least_bytes(items);
    const auto budget = least + static_cast<std::uint64_t>(uniform(random, 0, 1) *
                                                           static_cast<double>(most_bytes(items) - least));
    const auto allocation = allocate(items, budget);
    expect_consistent(items, allocation);
    EXPECT_LE(allocation.bytes, budget);
    const auto optimum = least_loss(items, budget);
    ASSERT_TRUE(optimum);
    EXPECT_GE(allocation.loss, *optimum * (1 - 1e-12));
    excess += allocation.loss / *optimum - 1;
  }
  EXPECT_LT(excess / kProblems, 0.05);
}

TEST(Allocate, AtAPointOfTheJointHullTheResultIsTheOptimum) {
  std::mt19937 random(2);
  for (int problem = 0; problem < 50; ++problem) {
    const auto items = random_items(random, 5, 5);
    for (const auto& point : allocation_curve(items, 1000)) {
      const auto allocation = allocate(items, point.bytes);
      EXPECT_DOUBLE_EQ(allocation.loss, *least_loss(items, point.bytes));
      EXPECT_DOUBLE_EQ(point.loss, allocation.loss);
    }
  }
}

TEST(Allocate, NoBudgetGivesMoreLossThanALargerPointOfTheHullBelowIt) {
  const auto items = model_items(3);
  const auto curve = allocation_curve(items, 100000);
  for (std::size_t i = 1; i < curve.size(); ++i) {
    EXPECT_LT(curve[i].loss, curve[i - 1].loss);
    const auto between = allocate(items, (curve[i - 1].bytes + curve[i].bytes) / 2);
    EXPECT_LE(between.loss, curve[i - 1].loss * (1 + 1e-12));
  }
}

TEST(Allocate, NoBudgetOverTheWholeRangeIsExceeded) {
  for (const std::size_t layers : {std::size_t{1}, std::size_t{2}, std::size_t{32}}) {
    const auto items = model_items(layers);
    const auto least = least_bytes(items);
    const auto most = most_bytes(items);
    for (std::uint64_t i = 0; i <= 200; ++i) {
      const auto budget = least + (most - least) / 200 * i;
      const auto allocation = allocate(items, budget);
      expect_consistent(items, allocation);
      EXPECT_LE(allocation.bytes, budget);
    }
  }
}

TEST(Allocate, FromLowBitsToEightRealisticModelsFillNinetyNineAndAHalfPercent) {
  for (const std::size_t layers : {std::size_t{6}, std::size_t{32}}) {
    const auto items = model_items(layers);
    const double bytes_per_bit = static_cast<double>(most_bytes(items)) / 8.5;
    for (int i = 0; i < 200; ++i) {
      const double bits = 1.8 + (8.0 - 1.8) * i / 199;
      const auto budget = static_cast<std::uint64_t>(bits * bytes_per_bit);
      EXPECT_GE(static_cast<double>(allocate(items, budget).bytes), 0.995 * static_cast<double>(budget))
          << layers << " layers, " << bits << " bits per weight";
    }
  }
}

TEST(Allocate, ASingleItemTakesItsBestOptionThatFits) {
  const std::vector<AllocationItem> items = {{{10, 5}, {20, 3}, {40, 1}}};
  EXPECT_THAT(allocate(items, 10).choices, ElementsAre(0));
  EXPECT_THAT(allocate(items, 39).choices, ElementsAre(1));
  EXPECT_THAT(allocate(items, 1000).choices, ElementsAre(2));
}

TEST(Allocate, OptionsAboveTheHullFillWhatIsLeft) {
  // 20 bytes for a loss of 9 lie above the line from (10, 10) to (40, 1).
  const std::vector<AllocationItem> items = {{{10, 10}, {20, 9}, {40, 1}}};
  EXPECT_THAT(allocate(items, 30).choices, ElementsAre(1));
  const auto curve = allocation_curve(items, 10);
  ASSERT_EQ(curve.size(), 2u);
  EXPECT_THAT(curve[1].choices, ElementsAre(2));
}

TEST(Allocate, DominatedOptionsAreNotChosen) {
  const std::vector<AllocationItem> items = {{{30, 8}, {10, 5}, {20, 6}, {25, 2}}, {{10, 1}, {10, 2}}};
  EXPECT_THAT(allocate(items, 34).choices, ElementsAre(1, 0));
  EXPECT_THAT(allocate(items, 500).choices, ElementsAre(3, 0));
}

TEST(Allocate, OneItemGivesBackWhatAnotherUsesBetter) {
  // In order of ratio the first item is raised, and then nothing fits; raising the second alone saves more.
  const std::vector<AllocationItem> items = {{{0, 5}, {10, 0}}, {{0, 18}, {40, 0}}};
  const auto allocation = allocate(items, 45);
  EXPECT_THAT(allocation.choices, ElementsAre(0, 1));
  EXPECT_EQ(allocation.loss, 5);
}

TEST(Allocate, EqualItemsAreRaisedInTheirOrder) {
  const AllocationItem item = {{10, 4}, {20, 1}};
  EXPECT_THAT(allocate(std::vector{item, item, item}, 50).choices, ElementsAre(1, 1, 0));
}

TEST(Allocate, BytesThatLowerNoLossGoToLargerOptionsOfEqualLoss) {
  const std::vector<AllocationItem> items = {{{10, 4}, {20, 1}}, {{10, 0}, {15, 0}, {30, 0}}};
  EXPECT_THAT(allocate(items, 20).choices, ElementsAre(0, 0));
  EXPECT_THAT(allocate(items, 34).choices, ElementsAre(1, 0));
  EXPECT_THAT(allocate(items, 36).choices, ElementsAre(1, 1));
  EXPECT_THAT(allocate(items, 1000).choices, ElementsAre(1, 2));
}

TEST(Allocate, NoItemsTakeNothing) { EXPECT_EQ(allocate({}, 0).bytes, 0u); }

TEST(Allocate, ABudgetBelowTheMinimumIsRefusedWithTheLeastBytes) {
  const std::vector<AllocationItem> items = {{{30, 1}, {12, 5}}, {{11, 3}}};
  EXPECT_EQ(allocate(items, 23).bytes, 23u);
  try {
    allocate(items, 22);
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the 23 that"));
  }
}

TEST(Allocate, LossesThatAreNoNumbersAreAMistakeOfTheCaller) {
  const std::vector<AllocationItem> infinite = {{{10, std::numeric_limits<double>::infinity()}}};
  const std::vector<AllocationItem> nan = {{{10, std::numeric_limits<double>::quiet_NaN()}}};
  EXPECT_DEBUG_DEATH(allocate(infinite, 10), "isfinite");
  EXPECT_DEBUG_DEATH(allocate(nan, 10), "isfinite");
}

TEST(AllocationCurve, RunsFromTheSmallestToTheLeastLossInAtMostSoManyPoints) {
  const auto items = model_items(4);
  const auto all = allocation_curve(items, 100000);
  const auto few = allocation_curve(items, 12);
  EXPECT_LE(few.size(), 12u);
  EXPECT_GE(few.size(), 10u);
  EXPECT_EQ(few.front().bytes, least_bytes(items));
  EXPECT_EQ(few.back().choices, all.back().choices);
  for (const auto& point : few) expect_consistent(items, point);
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i][few.back().choices[i]].loss,
              std::ranges::min(items[i], {}, &AllocationOption::loss).loss);
  }
}

TEST(AllocationCurve, ItemsWithoutAChoiceAreOnePoint) {
  const std::vector<AllocationItem> items = {{{10, 1}}, {{20, 0}}};
  ASSERT_EQ(allocation_curve(items, 5).size(), 1u);
  EXPECT_EQ(allocation_curve(items, 5)[0].bytes, 30u);
}

}  // namespace
}  // namespace tessera::stages
