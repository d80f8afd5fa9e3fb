#include "model/forward/layer_backward.h"

#include <algorithm>

#include "foundation/kernels/rms_norm.h"
#include "foundation/kernels/swiglu.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::model {

using kernels::row_of;

namespace {

/// The steps of LayerForward need no memory of its own for a window.
constexpr std::size_t kStepsAlone = 1;

}  // namespace

LayerBackward::LayerBackward(const DecoderConfig& config, const kernels::RopeTable& rope,
                             kernels::Precision precision, std::size_t context)
    : config_(config),
      rope_(rope),
      precision_(precision),
      tokens_(context),
      steps_(config, rope, precision, kStepsAlone),
      window_(config, precision, context),
      heads_(config, precision, context, context),
      attended_(precision, context, config.query_width()),
      hidden_gradient_(context * config.embedding),
      normalized_gradient_(context * config.embedding),
      inner_gradient_(context * std::max(config.feed_forward, config.query_width())),
      row_(config.head_size),
      attention_backward_(config, precision, context),
      head_gradients_(config, context),
      query_(precision, context, config.query_width()),
      key_(precision, context, config.key_value_width()),
      value_(precision, context, config.key_value_width()),
      attention_output_(precision, context, config.embedding),
      gate_(precision, context, config.feed_forward),
      up_(precision, context, config.feed_forward),
      down_(precision, context, config.embedding) {}

void LayerBackward::run(const LayerWeights& weights, std::uint32_t layer, std::size_t window,
                        const HiddenStates& inputs, HiddenStates& gradients) {
  inputs.load(window, 0, window_.hidden);
  gradients.load(window, 0, hidden_gradient_);
  recompute(weights, layer);
  feed_forward(weights);
  inputs.load(window, 0, window_.hidden);
  attention(weights, layer);
  gradients.store(window, 0, hidden_gradient_);
  inputs.release(window);
  gradients.release(window);
}

std::vector<const Linear*> LayerBackward::linears(const LayerWeights& weights) {
  return {&weights.query, &weights.key, &weights.value, &weights.attention_output,
          &weights.gate,  &weights.up,  &weights.down};
}

std::vector<LinearGradient> LayerBackward::linear_gradients() const {
  return {{&window_.attention_input, &query_}, {&window_.attention_input, &key_},
          {&window_.attention_input, &value_}, {&attended_, &attention_output_},
          {&window_.ffn_input, &gate_},        {&window_.ffn_input, &up_},
          {&window_.ffn_activation, &down_}};
}

void LayerBackward::recompute(const LayerWeights& weights, std::uint32_t layer) {
  steps_.project_heads(weights, tokens_, window_);
  steps_.place_heads(weights, tokens_, 0, 0, window_, heads_);
  steps_.attention().run(heads_, {.window = config_.attention_window(layer)}, steps_.products(), attended_);
  steps_.add_attention(weights, tokens_, attended_, 0, window_);
  steps_.project_feed_forward(weights, tokens_, window_);
}

void LayerBackward::feed_forward(const LayerWeights& weights) {
  const std::size_t width = config_.feed_forward;
  down_.store(0, hidden_gradient_);
  apply_back(weights.down, down_, false, inner_gradient_);
  for (std::size_t t = 0; t < tokens_; ++t) {
    const auto gate = row_of(std::span(window_.gate), t, width);
    const auto up = row_of(std::span(window_.up), t, width);
    kernels::swiglu_backward(gate, up, row_of(std::span(inner_gradient_), t, width), gate, up);
    gate_.store(t, gate);
    up_.store(t, up);
  }
  apply_back(weights.gate, gate_, false, normalized_gradient_);
  apply_back(weights.up, up_, true, normalized_gradient_);
  normalize_back(weights.ffn_norm, normalized_gradient_);
}

void LayerBackward::attention(const LayerWeights& weights, std::uint32_t layer) {
  attention_output_.store(0, hidden_gradient_);
  apply_back(weights.attention_output, attention_output_, false, inner_gradient_);
  attention_backward_.run(heads_, {.window = config_.attention_window(layer)}, inner_gradient_,
                          steps_.attention(), steps_.products(), head_gradients_);
  unplace(head_gradients_.queries, window_.query, weights.query_norm, config_.heads, config_.group(), query_);
  unplace(head_gradients_.keys, window_.key, weights.key_norm, config_.kv_heads, 1, key_);
  unplace_values();
  apply_back(weights.query, query_, false, normalized_gradient_);
  apply_back(weights.key, key_, true, normalized_gradient_);
  apply_back(weights.value, value_, true, normalized_gradient_);
  normalize_back(weights.attention_norm, normalized_gradient_);
}

void LayerBackward::unplace(std::span<const float> rows, std::span<const float> values,
                            std::span<const float> norm, std::size_t heads, std::size_t group,
                            kernels::Matrix& result) {
  const std::size_t size = config_.head_size;
  std::vector<float> turned(size);
  for (std::size_t t = 0; t < tokens_; ++t) {
    for (std::size_t head = 0; head < heads; ++head) {
      const std::size_t row = (head / group * tokens_ + t) * group + head % group;
      std::ranges::copy(row_of(rows, row, size), turned.begin());
      kernels::rotate_back(turned, rope_, static_cast<std::uint32_t>(t));
      if (!norm.empty()) {
        std::ranges::fill(row_, 0.0f);
        kernels::rms_norm_backward(row_of(values, t * heads + head, size), norm, config_.norm_epsilon, turned,
                                   row_);
      }
      result.store(t, head * size, norm.empty() ? turned : row_);
    }
  }
}

void LayerBackward::unplace_values() {
  const std::size_t size = config_.head_size;
  for (std::size_t t = 0; t < tokens_; ++t) {
    for (std::size_t head = 0; head < config_.kv_heads; ++head)
      value_.store(t, head * size, row_of(std::span(head_gradients_.values), head * tokens_ + t, size));
  }
}

void LayerBackward::apply_back(const Linear& linear, const kernels::Matrix& output_gradient, bool accumulate,
                               std::span<float> input_gradient) {
  steps_.products().multiply({.m = tokens_,
                              .n = linear.inputs(),
                              .k = linear.outputs(),
                              .precision = precision_,
                              .accumulate = accumulate},
                             output_gradient.data(), linear.weight.data(), input_gradient.data());
}

void LayerBackward::normalize_back(std::span<const float> norm, std::span<const float> gradient) {
  const std::size_t columns = norm.size();
  for (std::size_t t = 0; t < tokens_; ++t) {
    kernels::rms_norm_backward(row_of(std::span<const float>(window_.hidden), t, columns), norm,
                               config_.norm_epsilon, row_of(gradient, t, columns),
                               row_of(std::span(hidden_gradient_), t, columns));
  }
}

}  // namespace tessera::model
