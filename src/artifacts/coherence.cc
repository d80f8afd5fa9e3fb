#include "artifacts/coherence.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera {
namespace {

using nlohmann::json;

constexpr std::array kMethods = {DecodingMethod::greedy, DecodingMethod::sampled};

/// One figure beside the original's, as a measure that grows as texts get worse, with its two limits.
struct Criterion {
  std::string reason;
  double excess = 0;
  double coherent = 0;
  double degraded = 0;

  CoherenceVerdict verdict() const {
    if (excess <= coherent) return CoherenceVerdict::coherent;
    return excess <= degraded ? CoherenceVerdict::degraded : CoherenceVerdict::broken;
  }
};

/// `numerator` over `denominator`, both positive or 0; 1 when both are 0.
double ratio(double numerator, double denominator) {
  return numerator == denominator ? 1 : numerator / denominator;
}

std::vector<Criterion> criteria(const CoherenceComparison& texts) {
  const auto& original = texts.original;
  const auto& quantized = texts.quantized;
  const auto& coherent = kCoherentLimits;
  const auto& degraded = kDegradedLimits;
  // Ratios that must not fall below a limit are negated.
  return {{fmt::format("perplexity {:.2f} against {:.2f}", quantized.perplexity, original.perplexity),
           ratio(quantized.perplexity, original.perplexity), coherent.perplexity_ratio,
           degraded.perplexity_ratio},
          {fmt::format("repetition {:.3f} against {:.3f}", quantized.repetition, original.repetition),
           quantized.repetition - original.repetition, coherent.added_repetition, degraded.added_repetition},
          {fmt::format("share of loops {:.3f} against {:.3f}", quantized.looping, original.looping),
           quantized.looping - original.looping, coherent.added_repetition, degraded.added_repetition},
          {fmt::format("distinct 2-grams {:.3f} against {:.3f}", quantized.distinct[1], original.distinct[1]),
           -ratio(quantized.distinct[1], original.distinct[1]), -coherent.distinct_bigrams_ratio,
           -degraded.distinct_bigrams_ratio},
          {fmt::format("{} tokens against {}", quantized.tokens, original.tokens),
           -ratio(static_cast<double>(quantized.tokens), static_cast<double>(original.tokens)),
           -coherent.length_ratio, -degraded.length_ratio}};
}

CoherenceFigures gather(const std::vector<const CoherenceText*>& texts) {
  CoherenceFigures sum{.distinct = {0, 0, 0}};
  double log_likelihood = 0;
  std::size_t scored = 0;
  for (const CoherenceText* text : texts) {
    const auto tokens = static_cast<double>(text->figures.tokens);
    sum.tokens += text->figures.tokens;
    sum.ended += text->ended ? 1 : 0;
    sum.repetition += tokens * text->figures.repetition;
    sum.looping += static_cast<double>(text->figures.longest_loop);
    for (std::size_t n = 0; n < 3; ++n) sum.distinct[n] += tokens * text->figures.distinct[n];
    log_likelihood += text->log_likelihood;
    scored += text->scored_tokens;
  }
  if (scored > 0) sum.perplexity = std::exp(-log_likelihood / static_cast<double>(scored));
  if (sum.tokens == 0) {
    sum.distinct = {1, 1, 1};
    return sum;
  }
  const auto tokens = static_cast<double>(sum.tokens);
  sum.repetition /= tokens;
  sum.looping /= tokens;
  for (double& share : sum.distinct) share /= tokens;
  return sum;
}

json to_json(const CoherenceFigures& figures) {
  return {{"tokens", figures.tokens},          {"ended", figures.ended},
          {"perplexity", figures.perplexity},  {"repetition", figures.repetition},
          {"looping", figures.looping},        {"distinct_1", figures.distinct[0]},
          {"distinct_2", figures.distinct[1]}, {"distinct_3", figures.distinct[2]}};
}

json to_json(const CoherenceText& text) {
  return {{"text", text.text},
          {"ended", text.ended},
          {"tokens", text.figures.tokens},
          {"perplexity", text.perplexity()},
          {"repetition", text.figures.repetition},
          {"longest_loop", text.figures.longest_loop},
          {"distinct_1", text.figures.distinct[0]},
          {"distinct_2", text.figures.distinct[1]},
          {"distinct_3", text.figures.distinct[2]}};
}

}  // namespace

std::string_view name_of(DecodingMethod method) {
  return method == DecodingMethod::greedy ? "greedy" : "sampled";
}

std::string_view name_of(CoherenceVerdict verdict) {
  constexpr std::array<std::string_view, 3> kNames = {"coherent", "degraded", "broken"};
  return kNames[static_cast<std::size_t>(verdict)];
}

double CoherenceText::perplexity() const {
  return scored_tokens == 0 ? 0 : std::exp(-log_likelihood / static_cast<double>(scored_tokens));
}

CoherenceComparison Coherence::compare(DecodingMethod method) const {
  std::vector<const CoherenceText*> original;
  std::vector<const CoherenceText*> quantized;
  for (const auto& pair : pairs) {
    if (pair.method != method) continue;
    original.push_back(&pair.original);
    quantized.push_back(&pair.quantized);
  }
  return {gather(original), gather(quantized)};
}

CoherenceJudgement judge(const Coherence& coherence) {
  CoherenceJudgement judgement;
  for (const auto method : kMethods) {
    for (const auto& criterion : criteria(coherence.compare(method))) {
      const auto verdict = criterion.verdict();
      judgement.verdict = std::max(judgement.verdict, verdict);
      if (verdict == CoherenceVerdict::coherent) continue;
      judgement.reasons.push_back(
          fmt::format("{} texts: {} ({})", name_of(method), criterion.reason, name_of(verdict)));
    }
  }
  return judgement;
}

nlohmann::json to_json(const Coherence& coherence) {
  const auto judgement = judge(coherence);
  json report = {{"verdict", name_of(judgement.verdict)},
                 {"reasons", judgement.reasons},
                 {"new_tokens", coherence.new_tokens},
                 {"temperature", coherence.temperature},
                 {"top_k", coherence.top_k},
                 {"top_p", coherence.top_p},
                 {"seed", coherence.seed}};
  for (const auto method : kMethods) {
    const auto texts = coherence.compare(method);
    report[std::string(name_of(method))] = {{"original", to_json(texts.original)},
                                            {"quantized", to_json(texts.quantized)}};
  }
  json& list = report["texts"] = json::array();
  for (const auto& pair : coherence.pairs) {
    list.push_back({{"prompt", pair.prompt},
                    {"method", name_of(pair.method)},
                    {"original", to_json(pair.original)},
                    {"quantized", to_json(pair.quantized)}});
  }
  return report;
}

}  // namespace tessera
