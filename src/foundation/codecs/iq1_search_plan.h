// The order of the minima in iq1_tables-inl.h: which pairs are shared, and what remains for each upper half.
//
// For every upper half (weights 4 to 7) of the grid the search needs the minimum over the set of lower halves
// that occur with it: 81 sets with 2048 elements in all, many of them in common (shared_pairs.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "foundation/codecs/iq1_grid.h"
#include "foundation/codecs/shared_pairs.h"

namespace tessera::codecs {

struct Iq1SearchPlan {
  /// At most; the tables of four searches in float32 then fill the first cache.
  static constexpr std::size_t kPairs = 80;
  static constexpr std::size_t kElements = kTernaryHalves + kPairs;

  /// The set of one upper half: the next `chunks` * kChunk of `elements`.
  struct Run {
    std::uint8_t upper, chunks;
  };
  static constexpr std::size_t kChunk = 2;

  std::vector<SharedPairs::Pair> pairs;  ///< element kTernaryHalves + i is the minimum of two before it
  std::vector<Run> runs;                 ///< [kTernaryHalves], by length, so that trip counts are predictable
  std::vector<std::uint8_t> elements;    ///< sets filled up to whole chunks with their last element
};

/// The plan of the grid, made on first use.
const Iq1SearchPlan& iq1_search_plan();

}  // namespace tessera::codecs
