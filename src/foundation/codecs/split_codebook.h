// A codebook of vectors of levels, arranged for exhaustive search and for decoding.
//
// Each entry is split in two halves, and a half is named by its combination: the number whose digits to the
// base of the number of levels are the levels of its weights, first weight lowest. A cost that is a sum over
// weights is then the sum of a cost of the low half and a cost of the high half: two small tables over all
// combinations give the costs of all entries. Entries are grouped by their high half, so the search takes the
// minimum over the low halves that occur with it and adds the high half's cost once. Pairs of low halves that
// many high halves have in common are elements of their own, behind the combinations (shared_pairs.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foundation/codecs/shared_pairs.h"

namespace tessera::codecs {

/// The shape of a codebook's entries, as the packed tables hold them (codebooks_iq2.h, codebooks_iq3.h).
struct CodebookShape {
  std::size_t width;       ///< weights of an entry, even
  std::size_t level_bits;  ///< bits per weight of a packed entry
  std::size_t levels;      ///< levels a weight can take

  constexpr std::size_t half_combinations() const {
    std::size_t combinations = 1;
    for (std::size_t i = 0; i < width / 2; ++i) combinations *= levels;
    return combinations;
  }
};

class SplitCodebook {
 public:
  /// The entries that share a high half.
  struct Run {
    std::uint16_t high;        ///< combination of the high half
    std::uint16_t begin, end;  ///< their low halves are lows()[begin, end), at least one
  };
  /// At most; with as many the costs of four searches fill the first cache.
  static constexpr std::size_t kPairs = 64;

  /// `stride`: elements from one combination's costs to the next one's in the tables of the searcher.
  SplitCodebook(CodebookShape shape, std::span<const std::uint16_t> entries, std::size_t stride);

  std::span<const Run> runs() const { return runs_; }
  /// Low halves, or pairs of them, times the stride.
  const std::uint16_t* lows() const { return lows_.data(); }
  /// Pair i is element half_combinations + i: two elements before it, times the stride.
  std::span<const SharedPairs::Pair> pairs() const { return pairs_; }
  /// [low * half_combinations + high]: the index of the entry; undefined where there is none.
  const std::int32_t* indices() const { return indices_.data(); }

 private:
  std::vector<Run> runs_;
  std::vector<std::uint16_t> lows_;
  std::vector<SharedPairs::Pair> pairs_;
  std::vector<std::int32_t> indices_;
};

/// The entries as magnitudes: [entries.size()][width].
std::vector<float> magnitudes(CodebookShape shape, std::span<const std::uint16_t> entries,
                              std::span<const float> levels);

}  // namespace tessera::codecs
