#include "model/forward/output_backward.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "foundation/base/counter_random.h"
#include "foundation/kernels/rms_norm.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::model {

using kernels::row_of;

namespace {
constexpr std::size_t kNotDrawn = std::numeric_limits<std::size_t>::max();
}  // namespace

std::vector<VocabularyChunk> vocabulary_chunks(std::size_t vocabulary, std::size_t rows) {
  std::vector<VocabularyChunk> chunks;
  for (std::size_t first = 0; first < vocabulary; first += rows)
    chunks.push_back({first, std::min(rows, vocabulary - first)});
  return chunks;
}

OutputBackward::OutputBackward(const DecoderConfig& config, const OutputWeights& weights,
                               kernels::Precision precision, std::size_t context,
                               std::span<const VocabularyChunk> chunks, const LabelSettings& labels)
    : config_(config),
      weights_(weights),
      precision_(precision),
      tokens_(context),
      chunks_(chunks),
      label_settings_(labels),
      labels_(context - 1),
      draws_(context - 1),
      log_sums_(context - 1),
      hidden_(context * config.embedding),
      input_gradient_(context * config.embedding),
      input_(precision, context, config.embedding) {}

double OutputBackward::begin(const HiddenStates& states, std::size_t window,
                             std::span<const std::int32_t> tokens) {
  assert(tokens.size() == tokens_);
  std::ranges::copy(tokens.subspan(1), labels_.begin());
  states.load(window, 0, hidden_);
  states.release(window);
  std::ranges::fill(input_gradient_, 0.0f);
  std::vector<float> row(config_.embedding);
  for (std::size_t t = 0; t < tokens_; ++t) {
    kernels::rms_norm(row_of(std::span(hidden_), t, row.size()), weights_.norm, config_.norm_epsilon, row);
    input_.store(t, row);
  }

  std::vector<kernels::LogSumExp> sums(labels_.size());
  double loss = 0;
  for (const auto& chunk : chunks_) {
    const auto values = logits(chunk);
    for (std::size_t t = 0; t < labels_.size(); ++t) {
      const auto position = row_of(values, t, chunk.rows);
      sums[t].add(position);
      if (has_label(t, chunk)) loss -= double{position[labels_[t] - chunk.first]};
    }
  }
  for (std::size_t t = 0; t < labels_.size(); ++t) {
    log_sums_[t] = sums[t].value();
    loss += log_sums_[t];
  }
  if (label_settings_.labels == LossLabels::sampled) {
    std::ranges::fill(labels_, kNotDrawn);
    for (std::size_t t = 0; t < draws_.size(); ++t) draws_[t] = uniform_at(label_settings_.seed, window, t);
  }
  return loss;
}

void OutputBackward::run(const VocabularyChunk& chunk) {
  const auto values = logits(chunk);
  for (std::size_t t = 0; t < labels_.size(); ++t) {
    const auto position = row_of(values, t, chunk.rows);
    kernels::to_probabilities(position, static_cast<float>(log_sums_[t]));
    if (labels_[t] == kNotDrawn) draw_label(t, position, chunk);
    if (has_label(t, chunk)) position[labels_[t] - chunk.first] -= 1.0f;
  }
  std::ranges::fill(row_of(values, tokens_ - 1, chunk.rows), 0.0f);
  if (logit_gradients_.columns() != chunk.rows)
    logit_gradients_ = kernels::Matrix(precision_, tokens_, chunk.rows);
  logit_gradients_.store(0, values);
  products_.multiply(
      {.m = tokens_, .n = config_.embedding, .k = chunk.rows, .precision = precision_, .accumulate = true},
      logit_gradients_.data(), weights_.output.weight.row(chunk.first), input_gradient_.data());
}

void OutputBackward::end(std::size_t window, HiddenStates& gradients) {
  const std::size_t columns = config_.embedding;
  std::vector<float> row(columns);
  for (std::size_t t = 0; t < tokens_; ++t) {
    std::ranges::fill(row, 0.0f);
    kernels::rms_norm_backward(row_of(std::span<const float>(hidden_), t, columns), weights_.norm,
                               config_.norm_epsilon,
                               row_of(std::span<const float>(input_gradient_), t, columns), row);
    gradients.store(window, t, row);
  }
  gradients.release(window);
}

std::span<float> OutputBackward::logits(const VocabularyChunk& chunk) {
  if (logits_.size() < tokens_ * chunk.rows) logits_.resize(tokens_ * chunk.rows);
  const auto values = std::span(logits_).first(tokens_ * chunk.rows);
  products_.multiply(
      {.m = tokens_, .n = chunk.rows, .k = config_.embedding, .precision = precision_, .b_transposed = true},
      input_.data(), weights_.output.weight.row(chunk.first), values.data());
  if (!weights_.output.bias.empty()) {
    kernels::add_to_rows(std::span(weights_.output.bias).subspan(chunk.first, chunk.rows), values);
  }
  return values;
}

void OutputBackward::draw_label(std::size_t position, std::span<const float> probabilities,
                                const VocabularyChunk& chunk) {
  double& left = draws_[position];
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    left -= double{probabilities[i]};
    if (left >= 0) continue;
    labels_[position] = chunk.first + i;
    return;
  }
  // Rounding may leave the sum of all probabilities a little below 1 and the draw above it.
  const bool is_last = chunk.first + chunk.rows == config_.vocabulary;
  if (is_last) labels_[position] = config_.vocabulary - 1;
}

bool OutputBackward::has_label(std::size_t position, const VocabularyChunk& chunk) const {
  return labels_[position] >= chunk.first && labels_[position] - chunk.first < chunk.rows;
}

}  // namespace tessera::model
