#include "model/forward/paired_pass.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"

namespace tessera::model {
namespace {

/// The settings of a stream of `windows` out of all windows of all streams, which share the memory.
ForwardSettings share(ForwardSettings settings, std::size_t windows, std::size_t all) {
  settings.memory_bytes = settings.memory_bytes / all * windows + settings.memory_bytes % all * windows / all;
  return settings;
}

std::size_t columns_of(LayerInput input, const DecoderConfig& config) {
  if (input == LayerInput::attention_output) return config.query_width();
  return input == LayerInput::down ? config.feed_forward : config.embedding;
}

kernels::Matrix copy_of(const kernels::Matrix& matrix) {
  kernels::Matrix copy(matrix.precision(), matrix.rows(), matrix.columns());
  std::memcpy(copy.data(), matrix.data(), matrix.bytes());
  return copy;
}

void copy_window(const HiddenStates& from, std::size_t window, HiddenStates& to, std::size_t target) {
  std::ranges::copy(from.rows(window, 0, from.context()), to.rows(target, 0, to.context()).begin());
  from.release(window);
  to.release(target);
}

/// Divides windows [0, count) into parts of at most `tokens` tokens.
std::vector<WindowPart> parts_of(std::size_t count, std::size_t context, std::size_t tokens) {
  std::vector<WindowPart> parts;
  for (std::size_t window = 0; window < count; ++window) {
    for (std::size_t position = 0; position < context; position += tokens)
      parts.push_back({window, position, std::min(tokens, context - position)});
  }
  return parts;
}

}  // namespace

PairedPass::PairedPass(const WeightSource& source, const DecoderConfig& config, const TokenBatch& batch,
                       const PairedSettings& settings)
    : config_(config),
      batch_(batch),
      settings_(settings),
      loader_(source, config, settings.forward.precision, settings.forward.threads),
      rope_(config.rope, static_cast<std::uint32_t>(batch.context)),
      reference_(config, reference_windows(), batch.context,
                 share(settings.forward, reference_windows(),
                       reference_windows() + (settings.sequential ? batch.windows() : 0))) {
  require_float_linears(source);
  check_tokens(batch.tokens, config, source.name());
  if (settings.sequential) {
    replaced_.emplace(config, batch.windows(), batch.context,
                      share(settings.forward, batch.windows(), reference_windows() + batch.windows()));
  }
  const std::size_t tiles = (batch.context + kTileTokens - 1) / kTileTokens;  // no fewer than of any step
  const std::size_t most_parts = windows_at_once() * tiles * streams().size();
  const auto threads = static_cast<std::size_t>(resolve_threads(settings.forward.threads));
  for (std::size_t i = 0; i < std::min(threads, most_parts); ++i)
    workers_.emplace_back(config, rope_, settings.forward.precision, batch.context);
}

void PairedPass::embed() {
  embed_tokens(loader_, batch_, settings_.forward.threads, replaced());
  if (!replaced_) return;
  std::size_t next = 0;
  for (std::size_t window = 0; window < batch_.windows(); ++window) {
    if (has_reference(window / windows_at_once())) copy_window(replaced(), window, reference(), next++);
  }
}

void PairedPass::begin_layer(std::uint32_t layer) {
  layer_ = layer;
  shown_ = 0;
  experts_.reset();
  for (StagedStream* stream : streams()) stream->end_layer();
  auto weights = loader_.layer(layer);
  if (replaced_) {
    auto replaced = without_matrices(weights);
    replaced.mixture.experts = std::move(weights.mixture.experts);
    replaced_->begin_layer(std::move(replaced), layer);
  }
  reference_.begin_layer(std::move(weights), layer);
}

std::vector<std::size_t> PairedPass::readers(LayerInput input) {
  std::vector<std::size_t> tensors;
  for (const Linear* linear : linears_of(input, reference_)) tensors.push_back(linear->tensor);
  return tensors;
}

void PairedPass::replace(std::size_t tensor, std::span<const float> weights) {
  if (!replaced_) return;
  for (const LayerInput input : kLayerInputs) {
    const auto originals = linears_of(input, reference_);
    const auto linears = linears_of(input, *replaced_);
    for (std::size_t i = 0; i < linears.size(); ++i) {
      if (linears[i]->tensor != tensor) continue;
      const kernels::Matrix& original = originals[i]->weight;
      assert(original.rows() > 0 && weights.size() == original.rows() * original.columns());
      linears[i]->weight = kernels::Matrix(original.precision(), original.rows(), original.columns());
      linears[i]->weight.store(0, weights);
      return;
    }
  }
  assert(false && "the tensor is a linear of the present layer");
}

// Only the linears of one stage are there twice at a time; the others are loaded, or given up, already.
void PairedPass::complete_replaced(LayerInput input) {
  if (!replaced_) return;
  const auto originals = linears_of(input, reference_);
  const auto linears = linears_of(input, *replaced_);
  for (std::size_t i = 0; i < linears.size(); ++i) {
    if (linears[i]->weight.rows() == 0) linears[i]->weight = copy_of(originals[i]->weight);
  }
}

void PairedPass::show(LayerInput input, const PairedRowsSink& sink, const StopFlag& stop,
                      const WindowsDone& done) {
  assert(shown_ < kLayerInputs.size() && kLayerInputs[shown_] == input);
  ++shown_;
  const bool computes_nothing_new = input == LayerInput::attention;
  const bool is_absent = input == LayerInput::down && config_.feed_forward == 0;
  if (is_absent || (computes_nothing_new && !sink)) return;
  if (!computes_nothing_new) complete_replaced(kLayerInputs[shown_ - 2]);
  const PartStep step = [input](StagedStream& stream, const WindowPart& part, StageWorker& worker,
                                kernels::Matrix& rows,
                                std::size_t first_row) { stream.run(input, part, worker, rows, first_row); };
  const bool whole_windows = input == LayerInput::attention_output;
  run_batches(columns_of(input, config_),
              whole_windows ? batch_.context : tile_tokens(config_, batch_.context), step, sink, stop, done);
  for (StagedStream* stream : streams()) stream->end(input);
  if (input == LayerInput::feed_forward && config_.mixture) {
    experts_.emplace(config_.mixture->experts, config_.mixture->used, shown_stream().chosen(),
                     std::span<const float>());
  }
}

void PairedPass::end_layer(const StopFlag& stop) {
  assert(shown_ == kLayerInputs.size());
  complete_replaced(LayerInput::down);
  if (replaced_) {
    finish(*replaced_, stop);
    replaced_->end_layer();
    if (config_.mixture)
      reference_.weights().mixture.experts = loader_.experts(layer_, 0, config_.mixture->experts);
  }
  finish(reference_, stop);
  reference_.end_layer();
}

void PairedPass::finish(StagedStream& stream, const StopFlag& stop) {
  const PartStep step = [](StagedStream& one, const WindowPart& part, StageWorker& worker, kernels::Matrix&,
                           std::size_t) { one.finish(part, worker); };
  const std::size_t windows = stream.states().windows();
  kernels::Matrix none;
  for (std::size_t first = 0; first < windows; first += windows_at_once()) {
    const std::array share = {
        StreamBatch{&stream, &none, first, std::min(windows_at_once(), windows - first)}};
    run_batch(share, tile_tokens(config_, batch_.context), step, stop);
  }
}

void PairedPass::show_output(const PairedRowsSink& sink, const StopFlag& stop, const WindowsDone& done) {
  const auto norm = loader_.output_norm();
  const PartStep step = [&](StagedStream& stream, const WindowPart& part, StageWorker& worker,
                            kernels::Matrix& rows,
                            std::size_t first_row) { stream.normalize(norm, part, worker, rows, first_row); };
  run_batches(config_.embedding, tile_tokens(config_, batch_.context), step, sink, stop, done);
}

void PairedPass::run_batches(std::size_t columns, std::size_t part_tokens, const PartStep& step,
                             const PairedRowsSink& sink, const StopFlag& stop, const WindowsDone& done) {
  const std::size_t windows = batch_.windows();
  const std::size_t at_once = windows_at_once();
  auto& rows = rows_of(columns);
  std::size_t reference_first = 0;
  for (std::size_t first = 0; first < windows; first += at_once) {
    const std::size_t count = std::min(at_once, windows - first);
    const bool with_reference = has_reference(first / at_once);
    std::vector<StreamBatch> shares;
    if (with_reference) shares.push_back({&reference_, &rows.front(), reference_first, count});
    if (replaced_) shares.push_back({&*replaced_, &rows.back(), first, count});
    run_batch(shares, part_tokens, step, stop);
    if (with_reference) reference_first += count;
    if (sink) sink({with_reference ? &rows.front() : nullptr, rows.back(), count * batch_.context});
    if (done) done(first + count, windows);
  }
}

void PairedPass::run_batch(std::span<const StreamBatch> shares, std::size_t part_tokens, const PartStep& step,
                           const StopFlag& stop) {
  const auto parts = parts_of(shares.front().count, batch_.context, part_tokens);
  parallel_for(
      parts.size() * shares.size(), static_cast<int>(workers_.size()), [&](std::size_t item, int worker) {
        stop.check();
        const StreamBatch& share = shares[item % shares.size()];
        WindowPart part = parts[item / shares.size()];
        const std::size_t first_row = part.window * batch_.context + part.first;
        part.window += share.first;
        step(*share.stream, part, workers_[static_cast<std::size_t>(worker)], *share.rows, first_row);
      });
  for (const StreamBatch& share : shares) {
    for (std::size_t window = 0; window < share.count; ++window) share.stream->release(share.first + window);
  }
}

std::size_t PairedPass::windows_at_once() const {
  return std::clamp<std::size_t>(settings_.batch_tokens / batch_.context, 1, batch_.windows());
}

std::vector<kernels::Matrix>& PairedPass::rows_of(std::size_t columns) {
  auto& rows = rows_[columns];
  while (rows.size() < streams().size())
    rows.emplace_back(settings_.forward.precision, windows_at_once() * batch_.context, columns);
  return rows;
}

bool PairedPass::has_reference(std::size_t batch) const {
  return !settings_.sequential || batch % settings_.reference_every == 0;
}

std::size_t PairedPass::reference_windows() const {
  const std::size_t at_once = windows_at_once();
  std::size_t windows = 0;
  for (std::size_t first = 0; first < batch_.windows(); first += at_once) {
    if (has_reference(first / at_once)) windows += std::min(at_once, batch_.windows() - first);
  }
  return windows;
}

std::vector<Linear*> PairedPass::linears_of(LayerInput input, StagedStream& stream) const {
  const bool is_feed_forward = input == LayerInput::feed_forward || input == LayerInput::down;
  if (is_feed_forward && config_.feed_forward == 0) return {};
  return readers_of(input, stream.weights());
}

std::vector<StagedStream*> PairedPass::streams() {
  std::vector<StagedStream*> both = {&reference_};
  if (replaced_) both.push_back(&*replaced_);
  return both;
}

}  // namespace tessera::model
