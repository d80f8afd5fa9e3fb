#include "pipeline/generation_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "foundation/base/error.h"
#include "model/text/prompt.h"

namespace tessera::pipeline {

GenerationModel::GenerationModel(const model::OpenedModel& source)
    : opened(source),
      config(model::read_decoder_config(source)),
      tokenizer(model::make_tokenizer(source.metadata, source.weights->name())),
      end_tokens(model::end_tokens(*tokenizer, source.metadata)) {
  if (tokenizer->size() != config.vocabulary) {
    throw BadFileError({.file = source.weights->name(), .tensor = "token_embd.weight"},
                       fmt::format("it has rows for {} tokens, but the vocabulary has {}", config.vocabulary,
                                   tokenizer->size()));
  }
}

model::GenerationRequest GenerationModel::request(std::string_view prompt, std::size_t new_tokens,
                                                  const model::SamplingSettings& sampling) const {
  model::GenerationRequest request{model::encode_prompt(*tokenizer, prompt), new_tokens, sampling};
  if (request.prompt.empty()) {
    throw UsageError("the prompt is empty, and this model has no token that begins a text; give -p TEXT");
  }
  if (config.context == 0) return request;
  if (request.prompt.size() >= config.context) {
    throw UsageError(
        fmt::format("the prompt has {} tokens, which leaves no room in the model's context of {}",
                    request.prompt.size(), config.context));
  }
  request.new_tokens = std::min<std::size_t>(new_tokens, config.context - request.prompt.size());
  return request;
}

}  // namespace tessera::pipeline
