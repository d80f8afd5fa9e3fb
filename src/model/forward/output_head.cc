#include "model/forward/output_head.h"

#include <algorithm>
#include <cassert>

#include "foundation/kernels/rms_norm.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::model {
namespace {

constexpr std::size_t kLogitsPerTile = 16 * 1024 * 1024;
constexpr std::size_t kLeastTile = 32;
constexpr std::size_t kMostTile = 256;

}  // namespace

OutputHead::OutputHead(const DecoderConfig& config, const OutputWeights& weights,
                       kernels::Precision precision, kernels::TiledProducts* tiled)
    : config_(config),
      weights_(weights),
      products_(tiled),
      tile_(std::clamp(kLogitsPerTile / config.vocabulary, kLeastTile, kMostTile)),
      hidden_(tile_ * config.embedding),
      row_(config.embedding),
      input_(precision, tile_, config.embedding) {}

std::span<float> OutputHead::logits(const HiddenStates& states, std::size_t window, std::size_t first,
                                    std::size_t count) {
  assert(count <= tile_);
  const auto hidden = std::span(hidden_).first(count * config_.embedding);
  states.load(window, first, hidden);
  return logits(hidden);
}

std::span<float> OutputHead::logits(std::span<const float> hidden) {
  const std::size_t columns = config_.embedding;
  const std::size_t count = hidden.size() / columns;
  assert(count <= tile_);
  for (std::size_t row = 0; row < count; ++row) {
    kernels::rms_norm(kernels::row_of(hidden, row, columns), weights_.norm, config_.norm_epsilon, row_);
    input_.store(row, row_);
  }
  const std::size_t vocabulary = config_.vocabulary;
  if (logits_.size() < count * vocabulary) logits_.resize(count * vocabulary);
  const auto result = std::span(logits_).first(count * vocabulary);
  products_.apply(weights_.output, {input_, 0, count}, false, result);
  return result;
}

}  // namespace tessera::model
