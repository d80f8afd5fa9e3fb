#include "model/forward/staged_stream.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tessera::model {
namespace {

/// The steps of LayerForward need no memory of its own for a window.
constexpr std::size_t kStepsAlone = 1;

/// What is left of `memory_bytes` once `states` lie there, if they do.
std::uint64_t left_after(const HiddenStates& states, std::uint64_t memory_bytes) {
  const std::uint64_t bytes = states.bytes().size();
  return bytes <= memory_bytes ? memory_bytes - bytes : memory_bytes;
}

void give_up(LayerInput input, LayerWeights& weights) {
  for (Linear* linear : readers_of(input, weights)) linear->weight = {};
}

/// Rows of `matrix` from `first_row` on, as they are stored, to `target`; and back.
void copy_rows(const kernels::Matrix& matrix, std::size_t first_row, std::span<std::byte> target) {
  std::memcpy(target.data(), matrix.row(first_row), target.size());
}
void copy_rows(std::span<const std::byte> rows, kernels::Matrix& matrix, std::size_t first_row) {
  std::memcpy(matrix.row(first_row), rows.data(), rows.size());
}

}  // namespace

std::vector<Linear*> readers_of(LayerInput input, LayerWeights& weights) {
  switch (input) {
    case LayerInput::attention:
      return {&weights.query, &weights.key, &weights.value};
    case LayerInput::attention_output:
      return {&weights.attention_output};
    case LayerInput::feed_forward:
      return {&weights.gate, &weights.up};
    case LayerInput::down:
      return {&weights.down};
  }
  return {};
}

StageWorker::StageWorker(const DecoderConfig& config, const kernels::RopeTable& rope,
                         kernels::Precision precision, std::size_t context)
    : steps(config, rope, precision, kStepsAlone),
      tile(config, precision, std::min(context, kTileTokens)),
      heads(config, precision, context, context),
      attended(precision, std::min(context, kTileTokens), config.query_width()) {}

StagedStream::StagedStream(const DecoderConfig& config, const TokenBatch& batch,
                           const ForwardSettings& settings)
    : config_(config),
      batch_(batch),
      settings_(settings),
      states_(make(config.embedding, settings.precision, settings.memory_bytes)) {}

HiddenStates StagedStream::make(std::size_t columns, kernels::Precision precision,
                                std::uint64_t memory_bytes) const {
  return {batch_.windows(), batch_.context, columns, {precision, memory_bytes, settings_.scratch_folder}};
}

void StagedStream::begin_layer(LayerWeights weights, std::uint32_t layer) {
  weights_ = std::move(weights);
  layer_ = layer;
}

void StagedStream::end_layer() {
  weights_ = {};
  attended_.reset();
  middle_.reset();
  activation_.reset();
}

// `attended_` and `activation_` are never there at the same time; each may have what the others leave, with
// room kept for h', which is there with both.
void StagedStream::begin(LayerInput input) {
  const std::uint64_t left = left_after(states_, settings_.memory_bytes);
  const std::uint64_t middle_bytes =
      std::uint64_t{batch_.windows()} * batch_.context * config_.embedding * sizeof(float);
  const std::uint64_t left_beside_middle = middle_bytes <= left ? left - middle_bytes : left;
  if (input == LayerInput::attention_output) {
    attended_ = make(config_.query_width(), settings_.precision, left_beside_middle);
  } else if (input == LayerInput::feed_forward) {
    middle_ = make(config_.embedding, kernels::Precision::f32, left);
  } else if (input == LayerInput::down) {
    activation_ = make(config_.feed_forward, settings_.precision, left_beside_middle);
  }
}

void StagedStream::run(LayerInput input, const WindowPart& part, StageWorker& worker, kernels::Matrix& rows,
                       std::size_t first_row) {
  switch (input) {
    case LayerInput::attention:
      return normalize(weights_.attention_norm, part, worker, rows, first_row);
    case LayerInput::attention_output:
      return attend(part, worker, rows, first_row);
    case LayerInput::feed_forward:
      return enter_feed_forward(part, worker, rows, first_row);
    case LayerInput::down:
      return activate(part, worker, rows, first_row);
  }
}

void StagedStream::end(LayerInput input) {
  if (input == LayerInput::attention_output) give_up(LayerInput::attention, weights_);
  if (input == LayerInput::down) give_up(LayerInput::feed_forward, weights_);
  if (input != LayerInput::feed_forward) return;
  give_up(LayerInput::attention_output, weights_);
  attended_.reset();
}

void StagedStream::normalize(std::span<const float> weight, const WindowPart& part, StageWorker& worker,
                             kernels::Matrix& rows, std::size_t first_row) {
  worker.steps.normalize(weight, part.tokens, load(states_, part, worker), rows, first_row);
}

void StagedStream::attend(const WindowPart& window, StageWorker& worker, kernels::Matrix& rows,
                          std::size_t first_row) {
  assert(window.first == 0 && window.tokens == batch_.context);
  for (std::size_t first = 0; first < batch_.context; first += kTileTokens) {
    const std::size_t tokens = std::min(kTileTokens, batch_.context - first);
    load(states_, {window.window, first, tokens}, worker);
    worker.steps.project_heads(weights_, tokens, worker.tile);
    worker.steps.place_heads(weights_, tokens, first, first, worker.tile, worker.heads);
  }
  worker.steps.attention().run(worker.heads,
                               {.window = config_.attention_window(layer_), .first_row = first_row},
                               worker.steps.products(), rows);
  copy_rows(rows, first_row, attended_->rows(window.window, 0, batch_.context));
}

void StagedStream::enter_feed_forward(const WindowPart& part, StageWorker& worker, kernels::Matrix& rows,
                                      std::size_t first_row) {
  const auto hidden = load(states_, part, worker);
  copy_rows(std::as_const(*attended_).rows(part.window, part.first, part.tokens), worker.attended, 0);
  worker.steps.add_attention(weights_, part.tokens, worker.attended, 0, worker.tile);
  middle_->store(part.window, part.first, hidden);
  worker.steps.normalize(weights_.ffn_norm, part.tokens, hidden, rows, first_row);
}

void StagedStream::activate(const WindowPart& part, StageWorker& worker, kernels::Matrix& rows,
                            std::size_t first_row) {
  load(*middle_, part, worker);
  worker.steps.project_feed_forward(weights_, part.tokens, worker.tile);
  const auto kept = activation_->rows(part.window, part.first, part.tokens);
  copy_rows(worker.tile.ffn_activation, 0, kept);
  copy_rows(kept, rows, first_row);
}

void StagedStream::finish(const WindowPart& part, StageWorker& worker) {
  const auto hidden = load(*middle_, part, worker);
  copy_rows(std::as_const(*activation_).rows(part.window, part.first, part.tokens),
            worker.tile.ffn_activation, 0);
  worker.steps.add_down(weights_, part.tokens, worker.tile);
  states_.store(part.window, part.first, hidden);
}

std::span<float> StagedStream::load(const HiddenStates& states, const WindowPart& part,
                                    StageWorker& worker) const {
  const auto hidden = std::span(worker.tile.hidden).first(part.tokens * config_.embedding);
  states.load(part.window, part.first, hidden);
  return hidden;
}

void StagedStream::release(std::size_t window) const {
  states_.release(window);
  for (const auto* kept : {&attended_, &middle_, &activation_}) {
    if (*kept) (*kept)->release(window);
  }
}

}  // namespace tessera::model
