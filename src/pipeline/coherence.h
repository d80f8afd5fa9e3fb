// The part of `tessera evaluate --coherence`: both models continue the same prompts, and the original judges
// what they wrote.
//
// The models take their turns, so that one decoder is in memory at a time. All texts of a model are decoded
// together. A sampled text of prompt i draws with seed + i, in both models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/coherence.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/kernels/matrix.h"
#include "model/forward/resident_decoder.h"
#include "model/forward/sampler.h"
#include "model/source/open_model.h"

namespace tessera::pipeline {

/// The prompts of data/prompts/coherence.txt.
std::vector<std::string> built_in_prompts();

/// Lines of a text, without empty ones and those that begin with #.
std::vector<std::string> parse_prompts(std::string_view text);

struct CoherenceSettings {
  std::vector<std::string> prompts = built_in_prompts();
  std::size_t new_tokens = 128;  ///< of each text, at least 1
  /// Of the sampled texts; the temperature is not 0.
  model::SamplingSettings sampling = {.temperature = 0.8, .seed = 1};
  std::optional<kernels::Precision> precision = std::nullopt;          ///< empty: the fastest of this machine
  int threads = 0;                                                     ///< 0: all cores
  std::uint64_t memory_bytes = model::DecoderSettings{}.memory_bytes;  ///< of decoded weights
};

/// A greedy and a sampled text of each model for every prompt. Throws UsageError on settings that are out of
/// range, BadFileError (also when the models read prompts differently), InterruptedError.
Coherence measure_coherence(const model::OpenedModel& original, const model::OpenedModel& quantized,
                            const CoherenceSettings& settings, ProgressObserver& progress,
                            const StopFlag& stop);

}  // namespace tessera::pipeline
