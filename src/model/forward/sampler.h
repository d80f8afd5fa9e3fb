// Choosing the next token from its logits.
//
// Greedy: the largest logit. Otherwise, in this order (that of llama.cpp's default chain):
//   top-k        keep the k most probable tokens
//   top-p        of these, by falling probability, keep the shortest list that holds at least the share p
//                (nucleus sampling, Holtzman et al., arXiv 1904.09751)
//   temperature  probabilities in proportion to exp(logit / temperature)
// and the first token at which the running sum of probabilities exceeds u. Equal logits are ordered by token
// id. u is in [0, 1): the upper 53 bits of a draw from std::mt19937_64, whose sequence the C++ standard
// fixes, times 2^-53. One draw a token. Sums are float64, so equal logits give equal tokens everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace tessera::model {

struct SamplingSettings {
  double temperature = 0;    ///< 0: greedy; the rest then means nothing
  std::uint32_t top_k = 40;  ///< 0: all tokens
  double top_p = 0.95;       ///< in (0, 1]; 1: all tokens
  std::uint64_t seed = 0;
};

/// Throws UsageError naming the setting that is out of its range.
void check(const SamplingSettings& settings);

/// One sequence's choices.
class Sampler {
 public:
  /// Throws UsageError.
  explicit Sampler(const SamplingSettings& settings);

  /// The token that follows; `logits` are finite and not empty.
  std::int32_t choose(std::span<const float> logits);

 private:
  /// The tokens that top-k and top-p leave, the most probable first.
  std::span<const std::uint32_t> candidates(std::span<const float> logits);
  double next_uniform();

  SamplingSettings settings_;
  std::mt19937_64 generator_;
  std::vector<std::uint32_t> order_;
};

}  // namespace tessera::model
