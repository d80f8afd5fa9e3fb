#include "pipeline/generate.h"

#include <fmt/format.h>

#include <span>

#include "foundation/base/error.h"
#include "foundation/kernels/gemm.h"
#include "pipeline/generation_model.h"

namespace tessera::pipeline {
namespace {

/// Spells the tokens behind a prompt. A token's bytes may depend on those before it (the space that begins a
/// text), so the whole is decoded each time and what is new is given out.
class Continuation {
 public:
  Continuation(const model::Tokenizer& tokenizer, std::vector<model::TokenId> prompt)
      : tokenizer_(tokenizer), tokens_(std::move(prompt)), prompt_bytes_(tokenizer.decode(tokens_).size()) {}

  std::string append(model::TokenId token) {
    const std::size_t before = prompt_bytes_ + text_.size();
    tokens_.push_back(token);
    std::string added = tokenizer_.decode(tokens_).substr(before);
    text_ += added;
    return added;
  }
  const std::string& text() const { return text_; }

 private:
  const model::Tokenizer& tokenizer_;
  std::vector<model::TokenId> tokens_;
  std::size_t prompt_bytes_;
  std::string text_;
};

}  // namespace

nlohmann::json to_json(const GenerateReport& report) {
  return {{"prompt", report.prompt},
          {"text", report.text},
          {"prompt_tokens", report.prompt_tokens},
          {"tokens", report.generation.tokens},
          {"stopped", model::name_of(report.generation.stopped)}};
}

GenerateReport generate(const GenerateSettings& settings, const TextGenerated& generated,
                        ProgressObserver& progress, const StopFlag& stop) {
  if (settings.new_tokens == 0) throw UsageError("there must be at least one token to generate");
  model::check(settings.sampling);
  const auto precision = kernels::resolve_precision(settings.precision);
  model::OpenSettings open = settings.open;
  open.int8_linears = model::Int8Linears::kept;
  const auto opened = model::open_model(settings.model, open);
  const GenerationModel model(opened);
  const auto request = model.request(settings.prompt, settings.new_tokens, settings.sampling);
  if (request.new_tokens < settings.new_tokens) {
    progress.warn(fmt::format("the model's context of {} tokens leaves room for {} new ones",
                              model.config.context, request.new_tokens));
  }
  const std::span requests(&request, 1);
  model::ResidentDecoder decoder(*opened.weights, model.config, model::positions_of(requests),
                                 {precision, settings.threads, settings.memory_bytes}, progress, stop);
  Continuation continuation(*model.tokenizer, request.prompt);
  const auto append = [&](std::size_t, std::int32_t token) {
    const std::string text = continuation.append(token);
    if (generated) generated(text);
  };
  auto generations = model::generate(decoder, requests, model.end_tokens, stop, append);
  return {settings.prompt, continuation.text(), request.prompt, std::move(generations.front())};
}

}  // namespace tessera::pipeline
