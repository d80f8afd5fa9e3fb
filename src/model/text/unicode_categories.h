// General categories of code points, as far as pre-tokenizers tell them apart.
//
// Source: the Unicode Character Database 15.1, the version of llama.cpp's tables; PCRE2's own tables differ
// from one distribution to the next, and with them the tokens would.
#pragma once

#include <cstdint>
#include <span>

namespace tessera::model {

/// White space is the property White_Space; the others are general categories by their first letter.
enum class UnicodeCategory : std::uint8_t { other, space, number, letter, punctuation, mark, symbol };

/// Code points from `first` up to the next range's first.
struct UnicodeRange {
  char32_t first;
  UnicodeCategory category;
};

/// All code points, in order.
std::span<const UnicodeRange> unicode_ranges();

/// `code_point` is at most U+10FFFF.
UnicodeCategory category_of(char32_t code_point);

}  // namespace tessera::model
