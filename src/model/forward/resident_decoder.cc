#include "model/forward/resident_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "foundation/base/parallel.h"
#include "model/architecture/tensor_role.h"
#include "model/forward/forward_pass.h"

namespace tessera::model {
namespace {

/// Bytes of a layer's weights once they are decoded.
std::uint64_t decoded_bytes(const WeightSource& source, std::uint32_t layer, kernels::Precision precision) {
  std::uint64_t bytes = 0;
  for (const auto& tensor : source.tensors()) {
    if (place_of(tensor.name).layer != layer) continue;
    bytes += tensor.type == ElementType::I8 ? tensor.bytes()
                                            : tensor.weights() * kernels::element_bytes(precision);
  }
  return bytes;
}

}  // namespace

ResidentDecoder::ResidentDecoder(const WeightSource& source, const DecoderConfig& config,
                                 std::size_t positions, const DecoderSettings& settings,
                                 ProgressObserver& progress, const StopFlag& stop)
    : config_(config),
      settings_(settings),
      loader_(source, config, settings.precision, settings.threads),
      rope_(config.rope, static_cast<std::uint32_t>(positions)),
      tiled_(settings.threads) {
  load(progress, stop);
  head_.emplace(config_, output_, settings.precision, &tiled_);
  for (int i = 0; i < resolve_threads(settings.threads); ++i) {
    workers_.emplace_back(config_, rope_, settings.precision, 0, &tiled_);
  }
}

void ResidentDecoder::load(ProgressObserver& progress, const StopFlag& stop) {
  std::uint64_t total = 0;
  for (std::uint32_t layer = 0; layer < config_.layers; ++layer) total += loader_.layer_bytes(layer);
  progress.begin("loading", total);
  output_ = loader_.output();
  std::uint64_t decoded = output_.output.bytes();
  std::uint64_t done = 0;
  for (std::uint32_t layer = 0; layer < config_.layers; ++layer) {
    stop.check();
    decoded += decoded_bytes(source(), layer, settings_.precision);
    if (decoded > settings_.memory_bytes) break;
    layers_.push_back(loader_.layer(layer));
    done += loader_.layer_bytes(layer);
    progress.advance(done);
  }
  progress.end();
  if (resident_layers() == config_.layers) return;
  progress.note(
      fmt::format("{} of {} layers do not fit into {} MiB of memory; they are decoded again for "
                  "every token",
                  config_.layers - resident_layers(), config_.layers, settings_.memory_bytes >> 20));
}

void ResidentDecoder::advance(std::span<const SequenceStep> steps, const LogitsVisitor& visit) {
  rows_ = 0;
  for (const auto& step : steps) {
    check_tokens(step.tokens, config_, source().name());
    assert(!step.tokens.empty() && step.cache.length() + step.tokens.size() <= rope_.positions());
    step.cache.prepare(step.tokens.size());
    rows_ += step.tokens.size();
  }
  reserve_rows(rows_);
  embed(steps);
  for (std::uint32_t layer = 0; layer < config_.layers; ++layer) {
    if (layer < layers_.size()) {
      run_layer(layers_[layer], layer, steps);
    } else {
      run_layer(loader_.layer(layer), layer, steps);
    }
  }
  for (const auto& step : steps) step.cache.accept();
  visit_logits(steps, visit);
}

void ResidentDecoder::reserve_rows(std::size_t rows) {
  if (rows <= capacity_) return;
  capacity_ = rows;
  tile_.emplace(config_, settings_.precision, rows);
  attended_ = kernels::Matrix(settings_.precision, rows, config_.query_width());
}

void ResidentDecoder::embed(std::span<const SequenceStep> steps) {
  std::size_t row = 0;
  for (const auto& step : steps) {
    const std::size_t rows = step.tokens.size();
    loader_.embed(step.tokens,
                  std::span(tile_->hidden).subspan(row * config_.embedding, rows * config_.embedding));
    row += rows;
  }
}

void ResidentDecoder::run_layer(const LayerWeights& weights, std::uint32_t layer,
                                std::span<const SequenceStep> steps) {
  std::vector<std::size_t> first_rows;
  std::size_t row = 0;
  for (const auto& step : steps) {
    first_rows.push_back(row);
    row += step.tokens.size();
  }
  LayerForward& linears = workers_.front();
  linears.project_heads(weights, rows_, *tile_);
  const int threads = static_cast<int>(std::min(workers_.size(), steps.size()));
  parallel_for(steps.size(), threads, [&](std::size_t index, int worker) {
    const SequenceStep& step = steps[index];
    LayerForward& forward = workers_[static_cast<std::size_t>(worker)];
    AttentionHeads& heads = step.cache.layer(layer);
    const std::size_t position = step.cache.length();
    forward.place_heads(weights, step.tokens.size(), 0, position, *tile_, heads, first_rows[index]);
    forward.attention().run(heads, {position, config_.attention_window(layer), first_rows[index]},
                            forward.products(), attended_);
  });
  linears.add_attention(weights, rows_, attended_, 0, *tile_);
  linears.add_feed_forward(weights, rows_, *tile_);
}

void ResidentDecoder::visit_logits(std::span<const SequenceStep> steps, const LogitsVisitor& visit) {
  struct Wanted {
    std::size_t step, token, row;
  };
  std::vector<Wanted> wanted;
  std::size_t row = 0;
  for (std::size_t step = 0; step < steps.size(); ++step) {
    for (std::size_t token = 0; token < steps[step].tokens.size(); ++token, ++row) {
      if (token >= steps[step].first_logits) wanted.push_back({step, token, row});
    }
  }
  const std::size_t columns = config_.embedding;
  std::vector<float> hidden(std::min(head_->tile(), wanted.size()) * columns);
  for (std::size_t first = 0; first < wanted.size(); first += head_->tile()) {
    const auto tile = std::span(wanted).subspan(first, std::min(head_->tile(), wanted.size() - first));
    for (std::size_t i = 0; i < tile.size(); ++i) {
      std::ranges::copy(std::span(tile_->hidden).subspan(tile[i].row * columns, columns),
                        hidden.begin() + static_cast<std::ptrdiff_t>(i * columns));
    }
    const auto logits = head_->logits(std::span(hidden).first(tile.size() * columns));
    for (std::size_t i = 0; i < tile.size(); ++i) {
      visit(tile[i].step, tile[i].token, logits.subspan(i * config_.vocabulary, config_.vocabulary));
    }
  }
}

}  // namespace tessera::model
