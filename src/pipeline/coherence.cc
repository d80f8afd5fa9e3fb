#include "pipeline/coherence.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "artifacts/embedded_files.h"
#include "foundation/base/error.h"
#include "foundation/kernels/gemm.h"
#include "pipeline/generation_model.h"

namespace tessera::pipeline {
namespace {

using model::Generation;
using model::GenerationRequest;

/// Every prompt twice: greedy, then sampled.
std::vector<GenerationRequest> requests_of(const GenerationModel& model, const CoherenceSettings& settings) {
  std::vector<GenerationRequest> requests;
  auto sampling = settings.sampling;
  for (const auto& prompt : settings.prompts) {
    requests.push_back(model.request(prompt, settings.new_tokens, {}));
    requests.push_back(model.request(prompt, settings.new_tokens, sampling));
    ++sampling.seed;
  }
  return requests;
}

void check(const CoherenceSettings& settings) {
  if (settings.prompts.empty()) throw UsageError("there is no prompt for the models to continue");
  if (settings.new_tokens == 0) throw UsageError("the texts to compare must have at least one token");
  model::check(settings.sampling);
  if (settings.sampling.temperature == 0) {
    throw UsageError("the temperature of sampled texts must not be 0: greedy texts are compared as well");
  }
}

void require_same_tokens(const GenerationModel& original, const GenerationModel& quantized,
                         const CoherenceSettings& settings) {
  const auto ours = requests_of(original, settings);
  const auto theirs = requests_of(quantized, settings);
  const bool same =
      original.config.vocabulary == quantized.config.vocabulary &&
      original.end_tokens == quantized.end_tokens &&
      std::ranges::equal(ours, theirs, {}, &GenerationRequest::prompt, &GenerationRequest::prompt);
  if (same) return;
  throw BadFileError({.file = quantized.opened.weights->name()},
                     fmt::format("it reads the prompts as other tokens than {}; is it made from that model?",
                                 original.opened.weights->name()));
}

/// Decodes and scores with one model's weights.
class Writer {
 public:
  Writer(const GenerationModel& model, const std::vector<GenerationRequest>& requests,
         const CoherenceSettings& settings, ProgressObserver& progress, const StopFlag& stop)
      : model_(model),
        requests_(requests),
        progress_(progress),
        stop_(stop),
        decoder_(*model.opened.weights, model.config, model::positions_of(requests),
                 {kernels::resolve_precision(settings.precision), settings.threads, settings.memory_bytes},
                 progress, stop) {}

  std::vector<Generation> write() {
    progress_.note(fmt::format("{} writes {} texts", model_.opened.weights->name(), requests_.size()));
    return model::generate(decoder_, requests_, model_.end_tokens, stop_);
  }

  /// What a report says about these texts, with this model's likelihoods.
  std::vector<CoherenceText> judge(const std::vector<Generation>& generations) {
    std::vector<model::ScoredText> scored;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      model::ScoredText text{requests_[i].prompt, requests_[i].prompt.size()};
      const auto& tokens = generations[i].tokens;
      text.tokens.insert(text.tokens.end(), tokens.begin(), tokens.end());
      if (ended(generations[i])) text.tokens.push_back(generations[i].end_token);
      scored.push_back(std::move(text));
    }
    const auto likelihoods = model::log_probabilities(decoder_, scored, stop_);
    std::vector<CoherenceText> texts;
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      texts.push_back({.text = spell(requests_[i].prompt, generations[i].tokens),
                       .ended = ended(generations[i]),
                       .figures = text_figures(generations[i].tokens),
                       .log_likelihood = std::accumulate(likelihoods[i].begin(), likelihoods[i].end(), 0.0),
                       .scored_tokens = likelihoods[i].size()});
    }
    return texts;
  }

 private:
  static bool ended(const Generation& generation) {
    return generation.stopped == model::StopReason::end_token;
  }

  /// The bytes of a continuation: how a token is spelled may depend on what is before it.
  std::string spell(std::vector<model::TokenId> prompt, const std::vector<model::TokenId>& tokens) const {
    const std::size_t prompt_bytes = model_.tokenizer->decode(prompt).size();
    prompt.insert(prompt.end(), tokens.begin(), tokens.end());
    return model_.tokenizer->decode(prompt).substr(prompt_bytes);
  }

  const GenerationModel& model_;
  const std::vector<GenerationRequest>& requests_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  model::ResidentDecoder decoder_;
};

}  // namespace

std::vector<std::string> parse_prompts(std::string_view text) {
  std::vector<std::string> prompts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    if (!line.empty() && !line.starts_with('#')) prompts.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return prompts;
}

std::vector<std::string> built_in_prompts() {
  std::vector<std::string> prompts;
  for (const auto& file : embedded_prompts()) {
    if (file.name == "coherence.txt") prompts = parse_prompts(file.text);
  }
  return prompts;
}

Coherence measure_coherence(const model::OpenedModel& original, const model::OpenedModel& quantized,
                            const CoherenceSettings& settings, ProgressObserver& progress,
                            const StopFlag& stop) {
  check(settings);
  const GenerationModel ours(original);
  const GenerationModel theirs(quantized);
  require_same_tokens(ours, theirs, settings);
  const auto requests = requests_of(ours, settings);
  const auto quantized_texts = Writer(theirs, requests, settings, progress, stop).write();
  Writer writer(ours, requests, settings, progress, stop);
  auto original_judged = writer.judge(writer.write());
  auto quantized_judged = writer.judge(quantized_texts);

  Coherence coherence{.new_tokens = settings.new_tokens,
                      .temperature = settings.sampling.temperature,
                      .top_k = settings.sampling.top_k,
                      .top_p = settings.sampling.top_p,
                      .seed = settings.sampling.seed,
                      .pairs = {}};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    coherence.pairs.push_back({.prompt = settings.prompts[i / 2],
                               .method = i % 2 == 0 ? DecodingMethod::greedy : DecodingMethod::sampled,
                               .original = std::move(original_judged[i]),
                               .quantized = std::move(quantized_judged[i])});
  }
  return coherence;
}

}  // namespace tessera::pipeline
