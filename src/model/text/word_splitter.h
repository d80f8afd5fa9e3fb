// Cutting a text into the words that byte-level BPE looks at one by one.
//
// A splitter is a list of regular expressions. The first cuts the text: every match is a part, and so is
// every stretch between matches; the next expression cuts each part further. Results are those of llama.cpp,
// which does not match the characters themselves:
//   - An expression that has \p{...} sees ASCII as it is, white space beyond ASCII as a vertical tab (which
//   \s matches),
//     and every other character as its category alone. Beyond ASCII a letter has no case: \p{Lu} and \p{Ll}
//     hold all such letters, and of ASCII their own. Known are \p{L}, \p{Lu}, \p{Ll}, \p{N}, \p{P}, \p{M} and
//     \p{S}.
//   - Any other expression sees the code points, white space beyond ASCII as a vertical tab.
// \s, \d and \b know ASCII only. A part is matched as if nothing stood before or behind it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace tessera::model {

class WordSplitter {
 public:
  /// `expressions` are PCRE2's, in UTF-8; none may match nothing.
  explicit WordSplitter(std::span<const std::string_view> expressions);
  ~WordSplitter();
  WordSplitter(const WordSplitter&) = delete;
  WordSplitter& operator=(const WordSplitter&) = delete;

  /// The lengths, in code points, of the words of `text` (code points up to U+10FFFF), in order; their sum is
  /// the text's length. May be called from several threads at once.
  std::vector<std::size_t> split(std::span<const char32_t> text) const;

 private:
  class Expression;
  std::vector<std::unique_ptr<Expression>> expressions_;
};

}  // namespace tessera::model
