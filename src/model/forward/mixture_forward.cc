#include "model/forward/mixture_forward.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>

#include "foundation/kernels/rms_norm.h"
#include "foundation/kernels/swiglu.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::model {

using kernels::row_of;

MixtureForward::MixtureForward(const DecoderConfig& config, kernels::Precision precision,
                               kernels::TiledProducts* tiled)
    : config_(config),
      precision_(precision),
      own_(tiled == nullptr ? std::make_unique<kernels::TiledProducts>(1) : nullptr),
      products_(tiled == nullptr ? own_.get() : tiled) {
  assert(config.mixture);
}

void MixtureForward::route(const LayerWeights& weights, std::span<const float> hidden) {
  const ExpertMixture& mixture = weights.mixture;
  const std::size_t columns = config_.embedding;
  const std::size_t rows = hidden.size() / columns;
  const std::size_t used = config_.mixture->used;
  std::vector<float> normalized(columns);
  std::vector<float> scores(config_.mixture->experts);
  chosen_.resize(rows * used);
  std::vector<float> chosen_weights(rows * used);
  shared_weights_.clear();
  for (std::size_t row = 0; row < rows; ++row) {
    kernels::rms_norm(row_of(hidden, row, columns), weights.ffn_norm, config_.norm_epsilon, normalized);
    for (std::size_t expert = 0; expert < scores.size(); ++expert)
      scores[expert] = kernels::dot(row_of(std::span(mixture.router.weight), expert, columns), normalized);
    choose_experts(*config_.mixture, scores, row_of(std::span(chosen_), row, used),
                   row_of(std::span(chosen_weights), row, used));
    if (mixture.shared_gate.weight.empty()) continue;
    const float score = kernels::dot(mixture.shared_gate.weight, normalized);
    shared_weights_.push_back(1.0f / (1.0f + std::exp(-score)));
  }
  groups_.emplace(scores.size(), used, chosen_, chosen_weights);
}

void MixtureForward::add_experts(const ExpertMixture& mixture, const kernels::Matrix& input,
                                 std::span<float> hidden, const Watch& watch) {
  const std::size_t columns = config_.embedding;
  for (std::size_t x = 0; x < mixture.experts.size(); ++x) {
    const std::size_t count = groups_->count(x);
    if (count == 0) continue;
    const Expert& expert = mixture.experts[x];
    reserve(count);
    gather(input, groups_->rows(x));
    watch.report(std::array{expert.gate.tensor, expert.up.tensor}, gathered_, 0, count, x);
    activation_.store(0, gated(expert, {gathered_, 0, count}, x, watch));
    watch.report(std::array{expert.down.tensor}, activation_, 0, count, x);
    const auto outputs = std::span(outputs_).first(count * columns);
    apply(expert.down, {activation_, 0, count}, x, outputs, watch);
    for (std::size_t i = 0; i < count; ++i) {
      kernels::add_scaled(row_of(std::span<const float>(outputs), i, columns), groups_->weights(x)[i],
                          row_of(hidden, groups_->rows(x)[i], columns));
    }
  }
}

void MixtureForward::activate(const Expert& expert, const kernels::InputRows& input, kernels::Matrix& result,
                              std::size_t first_row) {
  reserve(input.count);
  result.store(first_row, gated(expert, input, 0, {}));
}

std::span<const float> MixtureForward::gated(const Expert& expert, const kernels::InputRows& input,
                                             std::size_t x, const Watch& watch) {
  const std::size_t values = input.count * config_.mixture->feed_forward;
  const auto gate = std::span(gate_).first(values);
  const auto up = std::span(up_).first(values);
  apply(expert.gate, input, x, gate, watch);
  apply(expert.up, input, x, up, watch);
  kernels::swiglu(gate, up, gate);
  return gate;
}

void MixtureForward::add_shared(std::span<const float> outputs, std::span<float> hidden) const {
  const std::size_t columns = config_.embedding;
  for (std::size_t row = 0; row < shared_weights_.size(); ++row) {
    kernels::add_scaled(row_of(outputs, row, columns), shared_weights_[row], row_of(hidden, row, columns));
  }
}

void MixtureForward::reserve(std::size_t rows) {
  if (rows <= capacity_) return;
  capacity_ = rows;
  const std::size_t width = config_.mixture->feed_forward;
  gathered_ = kernels::Matrix(precision_, rows, config_.embedding);
  activation_ = kernels::Matrix(precision_, rows, width);
  gate_.resize(rows * width);
  up_.resize(rows * width);
  outputs_.resize(rows * config_.embedding);
}

void MixtureForward::gather(const kernels::Matrix& input, std::span<const std::uint32_t> rows) {
  const std::size_t row_bytes = input.columns() * kernels::element_bytes(input.precision());
  for (std::size_t i = 0; i < rows.size(); ++i) std::memcpy(gathered_.row(i), input.row(rows[i]), row_bytes);
}

void MixtureForward::apply(const Linear& linear, const kernels::InputRows& input, std::size_t expert,
                           std::span<float> result, const Watch& watch) {
  products_.apply(linear, input, false, result);
  if (watch.wants_outputs()) watch.observer->linear_output({linear.tensor, result, watch.place, expert});
}

}  // namespace tessera::model
