// How repetitive a text is, from its tokens alone.
//
//   distinct-n    different n-grams over all n-grams (Li et al., arXiv 1510.03055); 1 where there is none
//   repetition    share of tokens that lie within a 4-gram which occurred before in the same text
//   longest loop  tokens of the longest stretch that is one unit said at least three times in a row, whatever
//                 the unit's length; a broken model's typical end
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

inline constexpr std::size_t kRepetitionTokens = 4;
inline constexpr std::size_t kLoopTurns = 3;

struct TextFigures {
  std::size_t tokens = 0;
  double repetition = 0;  ///< 0 to 1
  std::size_t longest_loop = 0;
  std::array<double, 3> distinct = {1, 1, 1};  ///< of 1-, 2- and 3-grams, above 0, at most 1
};

TextFigures text_figures(std::span<const std::int32_t> tokens);

}  // namespace tessera
