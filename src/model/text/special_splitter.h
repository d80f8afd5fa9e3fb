// Cutting a text at its special tokens, before the vocabulary's own algorithm sees the rest.
//
// llama.cpp's rule: of all special tokens that occur, the longest is cut out first, wherever it stands, then
// the next in what remains. That differs from reading left to right only where two special tokens overlap.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "model/text/token_table.h"

namespace tessera::model {

/// A part of a text: a special token, or bytes that hold none (then `token` is kNoToken).
struct Fragment {
  static constexpr TokenId kNoToken = -1;
  std::string_view text;
  TokenId token = kNoToken;
};

class SpecialSplitter {
 public:
  /// Special are the control, user-defined and unknown tokens of `table`, which must outlive this. `metadata`
  /// tells the models whose special tokens take the white space behind them along.
  SpecialSplitter(const TokenTable& table, const gguf::Metadata& metadata);

  /// The parts of `text` in order, none of them empty. Without `control`, only user-defined tokens are cut
  /// out.
  std::vector<Fragment> split(std::string_view text, bool control) const;

  /// Whether the white space behind this special token goes with it.
  bool takes_space_behind(TokenId token) const;

 private:
  struct Special {
    std::string_view text;
    TokenId token;
    bool is_control;  ///< or unknown: not for texts of users
    bool takes_space_behind;
  };

  std::vector<const Special*> occurring(std::string_view text, bool control) const;

  std::vector<Special> specials_;                                         ///< sorted by text
  std::array<std::pair<std::size_t, std::size_t>, 256> by_first_byte_{};  ///< range of specials_
};

}  // namespace tessera::model
