// Chooses one option for every item so that the sum of losses is least and the sum of bytes is at most a
// budget: the multiple-choice knapsack problem.
//
// Of every item only the frontier counts: options that no other undercuts in bytes at the same loss or less.
// The steps between the vertices of its lower convex hull have falling ratios of loss saved per byte. Taken
// from all items in order of that ratio they pass through the solutions of the Lagrangian relaxation
// (Shoham and Gersho 1988, "Efficient bit allocation for an arbitrary set of quantizers"), each the optimum
// of its own size; the ratio reached is the multiplier. What then is left of the budget is filled by the best
// steps that fit, also off the hull, and by exchanges: one item takes more, another gives as much back for
// less loss. Pure.
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

/// Deterministic: ties go to the item, then the option, of the lower index. The loss is at most that of the
/// largest point of the joint hull within the budget, and the least possible where the budget is such a
/// point. Bytes that can lower no loss go to larger options of equal loss. Throws UsageError with the least
/// possible number of bytes when the budget is below it.
Allocation allocate(std::span<const AllocationItem> items, std::uint64_t budget_bytes);

/// The best allocations over the whole range of sizes, from the smallest to the one with the least loss:
/// points of the joint convex hull, thinned to at most `points` (at least 2), evenly by bytes.
std::vector<Allocation> allocation_curve(std::span<const AllocationItem> items, std::size_t points);

}  // namespace tessera::stages
