#include "model/forward/layer_forward.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "foundation/kernels/rms_norm.h"
#include "foundation/kernels/swiglu.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::model {

using kernels::row_of;

namespace {

/// Whatever reads the input of the feed-forward block at all tokens.
std::vector<std::size_t> ffn_readers(const LayerWeights& weights) {
  std::vector<std::size_t> tensors;
  if (weights.gate.outputs() > 0) tensors = {weights.gate.tensor, weights.up.tensor};
  for (const Router* router : {&weights.mixture.router, &weights.mixture.shared_gate}) {
    if (!router->weight.empty()) tensors.push_back(router->tensor);
  }
  return tensors;
}

}  // namespace

TileActivations::TileActivations(const DecoderConfig& config, kernels::Precision precision,
                                 std::size_t tokens)
    : hidden(tokens * config.embedding),
      attention_input(precision, tokens, config.embedding),
      query(tokens * config.query_width()),
      key(tokens * config.key_value_width()),
      value(tokens * config.key_value_width()),
      ffn_input(precision, tokens, config.embedding),
      gate(tokens * config.feed_forward),
      up(tokens * config.feed_forward),
      ffn_activation(precision, tokens, config.feed_forward) {}

std::size_t tile_tokens(const DecoderConfig& config, std::size_t context) {
  return std::min(context, config.mixture ? kMixtureTileTokens : kTileTokens);
}

LayerForward::LayerForward(const DecoderConfig& config, const kernels::RopeTable& rope,
                           kernels::Precision precision, std::size_t context, kernels::TiledProducts* tiled)
    : config_(config),
      rope_(rope),
      products_(tiled),
      attention_(config, precision),
      tile_(config, precision, tile_tokens(config, context)),
      heads_(config, precision, context, context),
      attended_(precision, context, config.query_width()),
      row_(std::max({config.embedding, config.feed_forward, config.head_size})) {
  if (config.mixture) mixture_.emplace(config, precision, tiled);
}

void LayerForward::run(const LayerWeights& weights, std::uint32_t layer, std::size_t window, std::size_t lane,
                       HiddenStates& states, ForwardObserver* observer) {
  const std::size_t context = states.context();
  const std::size_t tile = tile_tokens(config_, context);
  const auto hidden_of = [&](std::size_t tokens) {
    return std::span(tile_.hidden).first(tokens * config_.embedding);
  };
  for (std::size_t first = 0; first < context; first += tile) {
    const std::size_t tokens = std::min(tile, context - first);
    watch_ = {observer, {lane, window, first}};
    states.load(window, first, hidden_of(tokens));
    project_heads(weights, tokens, tile_);
    place_heads(weights, tokens, first, first, tile_, heads_);
  }
  attention_.run(heads_, {.window = config_.attention_window(layer)}, products_.own(), attended_);
  for (std::size_t first = 0; first < context; first += tile) {
    const std::size_t tokens = std::min(tile, context - first);
    watch_ = {observer, {lane, window, first}};
    states.load(window, first, hidden_of(tokens));
    add_attention(weights, tokens, attended_, first, tile_);
    add_feed_forward(weights, tokens, tile_);
    states.store(window, first, hidden_of(tokens));
  }
  watch_ = {};
  states.release(window);
}

void LayerForward::project_heads(const LayerWeights& weights, std::size_t tokens, TileActivations& tile) {
  normalize(weights.attention_norm, tokens, tile.hidden, tile.attention_input);
  watch_.report(std::array{weights.query.tensor, weights.key.tensor, weights.value.tensor},
                tile.attention_input, 0, tokens);
  apply(weights.query, tokens, tile.attention_input, 0, false, tile.query);
  apply(weights.key, tokens, tile.attention_input, 0, false, tile.key);
  apply(weights.value, tokens, tile.attention_input, 0, false, tile.value);
}

void LayerForward::place_heads(const LayerWeights& weights, std::size_t tokens, std::size_t first_token,
                               std::size_t first_position, TileActivations& tile, AttentionHeads& heads,
                               std::size_t first_row) {
  const std::size_t size = config_.head_size;
  const std::size_t group = config_.group();
  const auto rotated = [&](std::span<float> head, std::span<const float> norm, std::size_t position) {
    const auto result = std::span(row_).first(size);
    if (norm.empty()) {
      std::ranges::copy(head, result.begin());
    } else {
      kernels::rms_norm(head, norm, config_.norm_epsilon, result);
    }
    kernels::rotate(result, rope_, static_cast<std::uint32_t>(position));
    return result;
  };
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::size_t position = first_position + t;
    for (std::size_t head = 0; head < config_.heads; ++head) {
      const std::size_t row = (head / group * heads.tokens + first_token + t) * group + head % group;
      heads.queries.store(row,
                          rotated(row_of(std::span(tile.query), (first_row + t) * config_.heads + head, size),
                                  weights.query_norm, position));
    }
    for (std::size_t head = 0; head < config_.kv_heads; ++head) {
      const std::size_t row = head * heads.positions + position;
      const std::size_t source = (first_row + t) * config_.kv_heads + head;
      heads.keys.store(row, rotated(row_of(std::span(tile.key), source, size), weights.key_norm, position));
      heads.values.store(row, row_of(std::span(tile.value), source, size));
    }
  }
}

void LayerForward::add_attention(const LayerWeights& weights, std::size_t tokens,
                                 const kernels::Matrix& attended, std::size_t first_row,
                                 TileActivations& tile) {
  watch_.report(std::array{weights.attention_output.tensor}, attended, first_row, tokens);
  apply(weights.attention_output, tokens, attended, first_row, true, tile.hidden);
}

void LayerForward::enter_feed_forward(const LayerWeights& weights, std::size_t tokens,
                                      TileActivations& tile) {
  normalize(weights.ffn_norm, tokens, tile.hidden, tile.ffn_input);
  watch_.report(ffn_readers(weights), tile.ffn_input, 0, tokens);
  if (mixture_) mixture_->route(weights, std::span(tile.hidden).first(tokens * config_.embedding));
}

void LayerForward::project_feed_forward(const LayerWeights& weights, std::size_t tokens,
                                        TileActivations& tile) {
  enter_feed_forward(weights, tokens, tile);
  if (config_.feed_forward == 0) return;
  apply(weights.gate, tokens, tile.ffn_input, 0, false, tile.gate);
  apply(weights.up, tokens, tile.ffn_input, 0, false, tile.up);
  activate(tokens, tile);
}

void LayerForward::activate(std::size_t tokens, TileActivations& tile) {
  const std::size_t width = config_.feed_forward;
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto activation = std::span(row_).first(width);
    kernels::swiglu(row_of(std::span(tile.gate), t, width), row_of(std::span(tile.up), t, width), activation);
    tile.ffn_activation.store(t, activation);
  }
}

void LayerForward::add_down(const LayerWeights& weights, std::size_t tokens, TileActivations& tile) {
  if (config_.feed_forward > 0) {
    watch_.report(std::array{weights.down.tensor}, tile.ffn_activation, 0, tokens);
    if (mixture_) shared_.resize(tokens * config_.embedding);
    apply(weights.down, tokens, tile.ffn_activation, 0, !mixture_, mixture_ ? shared_ : tile.hidden);
    if (mixture_) mixture_->add_shared(shared_, tile.hidden);
  }
  if (mixture_) mixture_->add_experts(weights.mixture, tile.ffn_input, tile.hidden, watch_);
}

void LayerForward::add_feed_forward(const LayerWeights& weights, std::size_t tokens, TileActivations& tile) {
  project_feed_forward(weights, tokens, tile);
  add_down(weights, tokens, tile);
}

void LayerForward::normalize(std::span<const float> weight, std::size_t tokens, std::span<const float> x,
                             kernels::Matrix& result, std::size_t first_row) {
  const std::size_t columns = weight.size();
  const auto row = std::span(row_).first(columns);
  for (std::size_t t = 0; t < tokens; ++t) {
    kernels::rms_norm(row_of(x, t, columns), weight, config_.norm_epsilon, row);
    result.store(first_row + t, row);
  }
}

void LayerForward::apply(const Linear& linear, std::size_t tokens, const kernels::Matrix& input,
                         std::size_t first_row, bool accumulate, std::span<float> result) {
  const auto values = result.first(tokens * linear.outputs());
  const bool watched = watch_.wants_outputs();
  if (watched) output_.resize(values.size());
  const auto target = watched ? std::span(output_) : values;
  products_.apply(linear, {input, first_row, tokens}, accumulate && !watched, target);
  if (!watched) return;
  watch_.observer->linear_output({linear.tensor, target, watch_.place});
  if (accumulate) {
    kernels::add(target, values);
  } else {
    std::ranges::copy(target, values.begin());
  }
}

}  // namespace tessera::model
