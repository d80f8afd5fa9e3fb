// Text generation: prompts in, tokens out, several sequences together; and the likelihood of given texts.
//
// A prompt passes the decoder in blocks of kPromptBlock tokens, then each new token alone. As many sequences
// as are active share a step, up to kStepRows rows; the others wait. A sequence depends on its own request
// and the model, not on its neighbours or the number of threads, and a longer generation begins with the
// shorter one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "foundation/base/stop_flag.h"
#include "model/forward/resident_decoder.h"
#include "model/forward/sampler.h"

namespace tessera::model {

inline constexpr std::size_t kPromptBlock = 128;
inline constexpr std::size_t kStepRows = 1024;

struct GenerationRequest {
  std::vector<std::int32_t> prompt;  ///< not empty
  std::size_t new_tokens = 0;        ///< at most
  SamplingSettings sampling = {};
};

enum class StopReason {
  length,     ///< as many tokens as were asked for
  end_token,  ///< the model ended its text
};
std::string_view name_of(StopReason reason);

struct Generation {
  std::vector<std::int32_t> tokens;  ///< without the prompt and the end token
  StopReason stopped = StopReason::length;
  std::int32_t end_token = 0;  ///< where stopped is end_token
};

/// Called in the order of sequences within a step, from one thread.
using TokenGenerated = std::function<void(std::size_t sequence, std::int32_t token)>;

/// Positions that the longest of these needs: what the decoder must be made for.
std::size_t positions_of(std::span<const GenerationRequest> requests);

/// Generates for all requests. A token of `end_tokens` ends its sequence. Throws UsageError on a prompt that
/// is empty or sampling settings out of range, BadFileError on a token beyond the vocabulary or logits that
/// are not finite, InterruptedError between steps.
std::vector<Generation> generate(ResidentDecoder& decoder, std::span<const GenerationRequest> requests,
                                 std::span<const std::int32_t> end_tokens, const StopFlag& stop,
                                 const TokenGenerated& generated = {});

/// A text whose tokens behind the first `given` are to be scored.
struct ScoredText {
  std::vector<std::int32_t> tokens;
  std::size_t given = 1;  ///< at least 1
};

/// ln p of every token from `given` on, [tokens - given] for each text: nats. Throws as generate().
std::vector<std::vector<double>> log_probabilities(ResidentDecoder& decoder,
                                                   std::span<const ScoredText> texts, const StopFlag& stop);

}  // namespace tessera::model
