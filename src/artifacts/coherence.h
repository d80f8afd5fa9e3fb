// Whether a quantized model still writes as its original does: the texts of both on the same prompts, what
// they look like in figures, and a verdict.
//
// Two ways of decoding show two kinds of damage: greedy decoding falls into loops, sampling into unlikely
// words. The likelihood of every text is the original model's, which is the judge of both. A loop is likely,
// so perplexity alone would miss it; nonsense does not repeat, so repetition alone would.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/text_figures.h"

namespace tessera {

enum class DecodingMethod { greedy, sampled };
std::string_view name_of(DecodingMethod method);

/// One continuation of a prompt.
struct CoherenceText {
  std::string text;    ///< bytes, not always valid UTF-8
  bool ended = false;  ///< the model ended its text before the length that was asked for
  TextFigures figures;
  /// Of the text's tokens, the end included, under the original model; nats. Sum over scored_tokens.
  double log_likelihood = 0;
  std::size_t scored_tokens = 0;

  double perplexity() const;
};

struct CoherencePair {
  std::string prompt;
  DecodingMethod method = DecodingMethod::greedy;
  CoherenceText original;
  CoherenceText quantized;
};

/// Figures over all texts of one model and method. Shares are means over texts weighted with their tokens.
struct CoherenceFigures {
  std::size_t tokens = 0;
  std::size_t ended = 0;  ///< texts
  double perplexity = 0;  ///< of all tokens of all texts
  double repetition = 0;
  double looping = 0;  ///< the longest loops' share of all tokens
  std::array<double, 3> distinct = {1, 1, 1};
};

struct CoherenceComparison {
  CoherenceFigures original;
  CoherenceFigures quantized;
};

/// Ordered by severity.
enum class CoherenceVerdict { coherent, degraded, broken };
std::string_view name_of(CoherenceVerdict verdict);

/// How much worse than the original's the quantized model's texts may be. docs/generate.md has the
/// measurements behind the values.
struct CoherenceLimits {
  double perplexity_ratio = 0;        ///< quantized over original
  double added_repetition = 0;        ///< quantized minus original; of looping as well
  double distinct_bigrams_ratio = 0;  ///< quantized over original, at least
  double length_ratio = 0;            ///< tokens of quantized over original, at least
};
inline constexpr CoherenceLimits kCoherentLimits = {1.5, 0.25, 0.7, 0.5};
inline constexpr CoherenceLimits kDegradedLimits = {4, 0.5, 0.35, 0.2};

struct Coherence {
  std::size_t new_tokens = 0;  ///< asked for of each text
  double temperature = 0;      ///< of sampled texts, and the rest of their settings
  std::uint32_t top_k = 0;
  double top_p = 1;
  std::uint64_t seed = 0;
  std::vector<CoherencePair> pairs;

  CoherenceComparison compare(DecodingMethod method) const;
};

struct CoherenceJudgement {
  CoherenceVerdict verdict = CoherenceVerdict::coherent;
  /// What is beyond the limits of a coherent model, for people; empty when it is coherent.
  std::vector<std::string> reasons;
};

/// A model is coherent within kCoherentLimits, degraded within kDegradedLimits, else broken; the worse of the
/// two ways of decoding counts.
CoherenceJudgement judge(const Coherence& coherence);

/// The report for machines: the object `coherence` of an evaluation's.
nlohmann::json to_json(const Coherence& coherence);

}  // namespace tessera
