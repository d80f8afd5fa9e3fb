// Turns logits into token scores as they come out of the output head, a few rows at a time.
//
// llama-perplexity's protocol: a text is cut into consecutive windows of `context` tokens (the first of each
// replaced by the beginning-of-sequence token where the vocabulary adds one), and the second half of each is
// scored: the predictions at positions context/2 .. context-2, which are of tokens context/2+1 .. context-1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "artifacts/token_score.h"

namespace tessera {

struct ScoringSettings {
  std::size_t windows = 0;  ///< at least 1
  std::size_t context = 0;  ///< tokens of a window, at least 3
  /// Files of the models, for messages.
  std::string original;
  std::string quantized = {};
};

/// Logits of some successive positions of a window.
struct WindowRows {
  std::size_t window = 0;
  std::size_t first_position = 0;
  std::span<const std::int32_t> targets;  ///< [rows]: the token after each position
  std::span<const float> original;        ///< [rows, vocabulary]
  std::span<const float> quantized = {};  ///< [rows, vocabulary], or empty: the original is scored alone
};

class WindowScorer {
 public:
  explicit WindowScorer(ScoringSettings settings);

  /// Positions of a window for which logits are wanted: [first_position(), end_position()).
  std::size_t first_position() const { return settings_.context / 2; }
  std::size_t end_position() const { return settings_.context - 1; }

  /// Scores rows, all of them at positions that are wanted. Every token has its own place, so rows may come
  /// in any order and from several threads, and scores() is the same. Throws BadFileError, naming the model
  /// and the place, when a row holds a NaN or an infinity.
  void add_rows(const WindowRows& rows);

  /// [windows * (end_position() - first_position())]: complete once all rows were added.
  std::span<const TokenScore> scores() const { return scores_; }

 private:
  ScoringSettings settings_;
  std::vector<TokenScore> scores_;
};

}  // namespace tessera
