#include "model/forward/staged_stream.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tessera::model {
namespace {

/// The steps of LayerForward need no memory of its own for a window.
constexpr std::size_t kStepsAlone = 1;

/// Settings for what is kept beside `states`: with the memory that they leave.
HiddenStatesSettings beside(const HiddenStates& states, HiddenStatesSettings settings) {
  const std::uint64_t bytes = states.bytes().size();
  if (bytes <= settings.memory_bytes) settings.memory_bytes -= bytes;
  return settings;
}

HiddenStatesSettings with(HiddenStatesSettings settings, kernels::Precision precision) {
  settings.precision = precision;
  return settings;
}

HiddenStatesSettings states_settings(const ForwardSettings& settings) {
  return {settings.precision, settings.memory_bytes, settings.scratch_folder};
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
      tile(config, precision, tile_tokens(config, context)),
      heads(config, precision, context, context),
      attended(precision, tile_tokens(config, context), config.query_width()) {}

StagedStream::StagedStream(const DecoderConfig& config, std::size_t windows, std::size_t context,
                           const ForwardSettings& settings)
    : config_(config),
      context_(context),
      element_bytes_(kernels::element_bytes(settings.precision)),
      states_(windows, context_, config.embedding, states_settings(settings)),
      middle_(windows, context_, config.embedding,
              with(beside(states_, states_settings(settings)), kernels::Precision::f32)),
      kept_(windows, context_, std::max(config.query_width(), config.feed_forward),
            beside(middle_, beside(states_, states_settings(settings)))),
      chosen_(config.mixture ? windows * context * config.mixture->used : 0) {}

void StagedStream::begin_layer(LayerWeights weights, std::uint32_t layer) {
  weights_ = std::move(weights);
  layer_ = layer;
}

void StagedStream::end_layer() { weights_ = {}; }

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
  if (input == LayerInput::feed_forward) give_up(LayerInput::attention_output, weights_);
  if (input == LayerInput::down) give_up(LayerInput::feed_forward, weights_);
}

void StagedStream::normalize(std::span<const float> weight, const WindowPart& part, StageWorker& worker,
                             kernels::Matrix& rows, std::size_t first_row) {
  worker.steps.normalize(weight, part.tokens, load(states_, part, worker), rows, first_row);
}

void StagedStream::attend(const WindowPart& window, StageWorker& worker, kernels::Matrix& rows,
                          std::size_t first_row) {
  assert(window.first == 0 && window.tokens == context_);
  const std::size_t tile = tile_tokens(config_, context_);
  for (std::size_t first = 0; first < context_; first += tile) {
    const std::size_t tokens = std::min(tile, context_ - first);
    load(states_, {window.window, first, tokens}, worker);
    worker.steps.project_heads(weights_, tokens, worker.tile);
    worker.steps.place_heads(weights_, tokens, first, first, worker.tile, worker.heads);
  }
  worker.steps.attention().run(worker.heads,
                               {.window = config_.attention_window(layer_), .first_row = first_row},
                               worker.steps.products(), rows);
  copy_rows(rows, first_row, kept(window, config_.query_width()));
}

void StagedStream::enter_feed_forward(const WindowPart& part, StageWorker& worker, kernels::Matrix& rows,
                                      std::size_t first_row) {
  const auto hidden = load(states_, part, worker);
  copy_rows(kept(part, config_.query_width()), worker.attended, 0);
  worker.steps.add_attention(weights_, part.tokens, worker.attended, 0, worker.tile);
  middle_.store(part.window, part.first, hidden);
  worker.steps.enter_feed_forward(weights_, part.tokens, worker.tile);
  std::memcpy(rows.row(first_row), worker.tile.ffn_input.data(),
              part.tokens * config_.embedding * element_bytes_);
  if (!config_.mixture) return;
  std::ranges::copy(worker.steps.mixture().chosen(),
                    chosen_.begin() + static_cast<std::ptrdiff_t>((part.window * context_ + part.first) *
                                                                  config_.mixture->used));
}

void StagedStream::activate(const WindowPart& part, StageWorker& worker, kernels::Matrix& rows,
                            std::size_t first_row) {
  load(middle_, part, worker);
  worker.steps.project_feed_forward(weights_, part.tokens, worker.tile);
  const auto activation = kept(part, config_.feed_forward);
  copy_rows(worker.tile.ffn_activation, 0, activation);
  copy_rows(activation, rows, first_row);
}

void StagedStream::run_expert(LayerInput input, const Expert& expert, std::span<const TokenPosition> tokens,
                              StageWorker& worker, kernels::Matrix& rows, std::size_t first_row) const {
  const std::size_t columns = config_.embedding;
  const auto hidden = std::span(worker.tile.hidden).first(tokens.size() * columns);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    middle_.load(tokens[i].window, tokens[i].position, hidden.subspan(i * columns, columns));
  if (input == LayerInput::feed_forward)
    return worker.steps.normalize(weights_.ffn_norm, tokens.size(), hidden, rows, first_row);
  worker.steps.normalize(weights_.ffn_norm, tokens.size(), hidden, worker.tile.ffn_input);
  worker.steps.mixture().activate(expert, {worker.tile.ffn_input, 0, tokens.size()}, rows, first_row);
}

void StagedStream::finish(const WindowPart& part, StageWorker& worker) {
  const auto hidden = load(middle_, part, worker);
  if (config_.mixture) worker.steps.enter_feed_forward(weights_, part.tokens, worker.tile);
  if (config_.feed_forward > 0) copy_rows(kept(part, config_.feed_forward), worker.tile.ffn_activation, 0);
  worker.steps.add_down(weights_, part.tokens, worker.tile);
  states_.store(part.window, part.first, hidden);
}

std::span<float> StagedStream::load(const HiddenStates& states, const WindowPart& part,
                                    StageWorker& worker) const {
  const auto hidden = std::span(worker.tile.hidden).first(part.tokens * config_.embedding);
  states.load(part.window, part.first, hidden);
  return hidden;
}

std::span<std::byte> StagedStream::kept(const WindowPart& part, std::size_t columns) {
  const std::size_t row_bytes = columns * element_bytes_;
  return kept_.rows(part.window, 0, context_).subspan(part.first * row_bytes, part.tokens * row_bytes);
}

void StagedStream::release(std::size_t window) const {
  for (const HiddenStates* states : {&states_, &middle_, &kept_}) states->release(window);
}

}  // namespace tessera::model
