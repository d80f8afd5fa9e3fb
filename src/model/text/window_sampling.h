// Which windows of which file are taken: pure functions of counts, weights and a seed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::model {

/// How many of `wanted` windows each file gives: in proportion to `weights` (finite, above 0), by largest
/// remainder, the earlier file first among equals. What a file lacks is shared among the others in the same
/// way, so that the sum is the smaller of `wanted` and of all that is `available`.
std::vector<std::uint64_t> windows_per_file(std::span<const double> weights,
                                            std::span<const std::uint64_t> available, std::uint64_t wanted);

/// `count` different numbers below `total`, ascending: the draw of Floyd ("A sample of brilliance",
/// Communications of the ACM 30, 1987) with SplitMix64 from `seed` (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014) as the source, made uniform by rejection. count <= total.
std::vector<std::uint64_t> draw_ascending(std::uint64_t total, std::uint64_t count, std::uint64_t seed);

}  // namespace tessera::model
