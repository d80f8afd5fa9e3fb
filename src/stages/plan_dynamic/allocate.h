// Chooses one option for every item so that the sum of losses is least and the sum of bytes is at most a
// budget: the multiple-choice knapsack problem, solved on the lower convex hulls with a Lagrange multiplier
// (Shoham and Gersho 1988, "Efficient bit allocation for an arbitrary set of quantizers"), then filled up
// greedily with the best steps that still fit, also off the hull. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera::stages {

struct AllocationOption {
  std::uint64_t bytes = 0;
  double loss = 0;  ///< finite, at least 0
};

/// What can be made of one tensor; at least one option.
using AllocationItem = std::vector<AllocationOption>;

struct Allocation {
  std::vector<std::size_t> choices;  ///< option by item
  std::uint64_t bytes = 0;
  double loss = 0;
};

/// Deterministic. Throws UsageError with the least possible number of bytes when the budget is below it.
Allocation allocate(std::span<const AllocationItem> items, std::uint64_t budget_bytes);

/// The best allocations over the whole range of sizes, from the smallest to the one with the least loss: the
/// points of the joint convex hull, thinned to at most `points`.
std::vector<Allocation> allocation_curve(std::span<const AllocationItem> items, std::size_t points);

}  // namespace tessera::stages
