// The pre-tokenizers of byte-level BPE that can be run, under llama.cpp's names (tokenizer.ggml.pre), as
// data.
//
// pre_tokenizer.h is the other half: it tells the name from a tokenizer.json.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::model {

/// Whether a word that is itself a token is taken whole, without merging.
enum class WholeWordTokens { no, yes };

struct PreTokenizerKind {
  std::array<std::string_view, 12> names;  ///< all of them mean the same; empty ones are none
  std::array<std::string_view, 6> steps;   ///< expressions for WordSplitter; empty ones are none
  WholeWordTokens whole_words = WholeWordTokens::no;
  bool adds_bos = false;  ///< where the metadata does not say

  std::span<const std::string_view> expressions() const;
};

/// The kind called `name`, or nullptr.
const PreTokenizerKind* find_pre_tokenizer_kind(std::string_view name);

/// All names, sorted.
std::vector<std::string_view> pre_tokenizer_kind_names();

}  // namespace tessera::model
