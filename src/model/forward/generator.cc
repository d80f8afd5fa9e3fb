#include "model/forward/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/kernels/logit_statistics.h"
#include "foundation/kernels/squared_error.h"

namespace tessera::model {
namespace {

/// A sequence on its way through the decoder.
struct Track {
  std::vector<std::int32_t> tokens;
  std::size_t first_logits = 0;  ///< position from which on logits are wanted
  std::size_t passed = 0;        ///< tokens that have been through the decoder
  std::optional<KeyValueCache> cache = std::nullopt;
};

using TrackVisitor = std::function<void(std::size_t track, std::size_t position, std::span<const float>)>;

/// Takes the next block of as many waiting tracks as fit into a step. False when none waits.
bool advance(ResidentDecoder& decoder, std::vector<Track>& tracks, const TrackVisitor& visit) {
  std::vector<std::size_t> chosen;
  std::vector<SequenceStep> steps;
  std::size_t rows = 0;
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    Track& track = tracks[i];
    const std::size_t count = std::min(track.tokens.size() - track.passed, kPromptBlock);
    if (count == 0 || rows + count > kStepRows) continue;
    if (!track.cache) track.cache.emplace(decoder.new_cache());
    rows += count;
    chosen.push_back(i);
    steps.push_back({*track.cache, std::span(track.tokens).subspan(track.passed, count),
                     std::max(track.first_logits, track.passed) - track.passed});
  }
  if (steps.empty()) return false;
  decoder.advance(steps, [&](std::size_t step, std::size_t token, std::span<const float> logits) {
    const std::size_t position = tracks[chosen[step]].passed + token;
    if (kernels::find_non_finite(logits)) {
      throw BadFileError({.file = decoder.source().name()},
                         fmt::format("the logits at position {} are not finite; try --precision f32, or the "
                                     "model is damaged",
                                     position));
    }
    visit(chosen[step], position, logits);
  });
  for (std::size_t i = 0; i < steps.size(); ++i) tracks[chosen[i]].passed += steps[i].tokens.size();
  return true;
}

Track track_of(const GenerationRequest& request) {
  if (request.prompt.empty()) throw UsageError("the prompt has no token to begin with");
  if (request.new_tokens == 0) return {};
  return {request.prompt, request.prompt.size() - 1};
}

void extend(std::int32_t token, bool ends, Generation& generation) {
  if (ends) {
    generation.stopped = StopReason::end_token;
    generation.end_token = token;
  } else {
    generation.tokens.push_back(token);
  }
}

}  // namespace

std::string_view name_of(StopReason reason) { return reason == StopReason::length ? "length" : "end_token"; }

std::size_t positions_of(std::span<const GenerationRequest> requests) {
  std::size_t positions = 0;
  for (const auto& request : requests) {
    positions = std::max(positions, request.prompt.size() + request.new_tokens);
  }
  return positions;
}

std::vector<Generation> generate(ResidentDecoder& decoder, std::span<const GenerationRequest> requests,
                                 std::span<const std::int32_t> end_tokens, const StopFlag& stop,
                                 const TokenGenerated& generated) {
  std::vector<Generation> generations(requests.size());
  std::vector<Sampler> samplers;
  std::vector<Track> tracks;
  for (const auto& request : requests) {
    samplers.emplace_back(request.sampling);
    tracks.push_back(track_of(request));
  }
  // A token is appended after the step: the step looks into the track's tokens.
  std::vector<std::optional<std::int32_t>> chosen(requests.size());
  const auto choose = [&](std::size_t sequence, std::size_t, std::span<const float> logits) {
    chosen[sequence] = samplers[sequence].choose(logits);
  };
  do {
    stop.check();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (!chosen[i]) continue;
      const std::int32_t token = *std::exchange(chosen[i], std::nullopt);
      const bool ends = std::ranges::find(end_tokens, token) != end_tokens.end();
      extend(token, ends, generations[i]);
      if (!ends && generated) generated(i, token);
      if (ends || generations[i].tokens.size() == requests[i].new_tokens) {
        tracks[i].cache.reset();
      } else {
        tracks[i].tokens.push_back(token);
      }
    }
  } while (advance(decoder, tracks, choose));
  return generations;
}

std::vector<std::vector<double>> log_probabilities(ResidentDecoder& decoder,
                                                   std::span<const ScoredText> texts, const StopFlag& stop) {
  std::vector<std::vector<double>> result(texts.size());
  std::vector<Track> tracks;
  for (const auto& text : texts) {
    assert(text.given >= 1);
    Track track;
    // The last token predicts nothing that is asked for.
    if (text.tokens.size() > text.given)
      track = {{text.tokens.begin(), text.tokens.end() - 1}, text.given - 1};
    tracks.push_back(std::move(track));
  }
  const auto score = [&](std::size_t text, std::size_t position, std::span<const float> logits) {
    const auto target = static_cast<std::size_t>(texts[text].tokens[position + 1]);
    result[text].push_back(kernels::logit_statistics(logits, target).target_log_probability);
  };
  do {
    stop.check();
  } while (advance(decoder, tracks, score));
  return result;
}

}  // namespace tessera::model
