// A model opened for generation, checked: its decoder's sizes, its tokenizer, and where its texts end.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "model/forward/decoder_config.h"
#include "model/forward/generator.h"
#include "model/source/open_model.h"
#include "model/text/tokenizer.h"

namespace tessera::pipeline {

struct GenerationModel {
  /// Throws BadFileError: an architecture or a tokenizer that is not known, a vocabulary of another size than
  /// the embedding. `source` outlives it.
  explicit GenerationModel(const model::OpenedModel& source);

  /// A request of at most `new_tokens`, fewer where the model's context ends before. Throws UsageError when
  /// the prompt has no token, or fills the context alone.
  model::GenerationRequest request(std::string_view prompt, std::size_t new_tokens,
                                   const model::SamplingSettings& sampling) const;

  const model::OpenedModel& opened;
  model::DecoderConfig config;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::vector<model::TokenId> end_tokens;
};

}  // namespace tessera::pipeline
