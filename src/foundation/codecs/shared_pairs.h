// Pairs of elements that several sets have in common, each made an element of its own.
//
// A search that needs the minimum over each of many sets takes the minimum of a shared pair once. Repeating
// this with the most frequent pair first (as Re-Pair does for strings, Larsson and Moffat 2000) halves the
// number of minima for the codebooks of the formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::codecs {

struct SharedPairs {
  struct Pair {
    std::uint16_t first, second;
  };
  std::vector<Pair> pairs;                       ///< pair i is element `elements` + i, of elements before it
  std::vector<std::vector<std::uint16_t>> sets;  ///< what remains of each set, ascending
};

/// Shares up to `most` pairs of the sets of numbers below `elements`. A pair of fewer than four sets saves
/// nothing and stays as it is.
SharedPairs share_pairs(const std::vector<std::vector<std::uint16_t>>& sets, std::size_t elements,
                        std::size_t most);

}  // namespace tessera::codecs
