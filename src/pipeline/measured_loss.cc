#include "pipeline/measured_loss.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "artifacts/window_scorer.h"
#include "foundation/base/printable.h"
#include "foundation/tensor/replaced_tensor.h"
#include "model/architecture/tensor_role.h"
#include "pipeline/layer_progress.h"
#include "stages/encode_tensors.h"
#include "stages/score_windows.h"

namespace tessera::pipeline {
namespace {

constexpr const char* kLosses = "losses";

/// Keeps the blocks of the one tensor that is encoded.
class OneTensorSink final : public TensorSink {
 public:
  OneTensorSink(std::vector<TensorDescriptor> tensors, std::size_t wanted)
      : tensors_(std::move(tensors)), blocks_(tensors_[wanted].bytes()) {}

  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  void write_rows(std::size_t tensor, std::uint64_t first_row, std::span<const std::byte> rows) override {
    const auto& descriptor = tensors_[tensor];
    const auto start = first_row * row_bytes(descriptor.type, descriptor.columns());
    std::ranges::copy(rows, blocks_.begin() + static_cast<std::ptrdiff_t>(start));
  }
  void commit() override {}

  std::vector<std::byte> take_blocks() { return std::move(blocks_); }

 private:
  std::vector<TensorDescriptor> tensors_;
  std::vector<std::byte> blocks_;
};

ReplacedTensor encode_probe(const WeightSource& source, const Probe& probe, const MeasureSettings& settings,
                            const StopFlag& stop) {
  QuantPlan plan;
  PlanImportance importance;
  for (const auto& tensor : source.tensors()) plan.tensors.push_back({tensor, {}, tensor.type});
  plan.tensors[probe.tensor].target = probe.type;
  importance.tensors.resize(plan.tensors.size());
  if (probe.importance != nullptr) importance.tensors[probe.tensor] = *probe.importance;
  std::vector<std::optional<EncodingError>> finished(plan.tensors.size(), EncodingError{});
  finished[probe.tensor].reset();
  OneTensorSink sink(outputs_of(plan), probe.tensor);
  SilentProgress silent;
  stages::encode_tensors({source, plan, importance, sink, finished},
                         {.threads = settings.forward.threads, .encoder = settings.encoder}, silent, stop);
  return {source, probe.tensor, probe.type, sink.take_blocks()};
}

class Measurement {
 public:
  Measurement(const WeightSource& source, const model::DecoderConfig& config, const model::TokenBatch& batch,
              const MeasureSettings& settings, const StopFlag& stop)
      : source_(source),
        config_(config),
        batch_(batch),
        settings_(settings),
        stop_(stop),
        base_(source, config, batch, settings.forward) {}

  /// Walks the unchanged model and keeps what enters every layer.
  void walk_base(LayerProgress& progress) {
    base_.embed();
    for (std::uint32_t layer = 0; layer < config_.layers; ++layer) {
      keep_boundary();
      base_.run_layer(base_.loader().layer(layer), layer, nullptr, stop_,
                      progress.layer(base_.loader(), layer));
    }
  }

  double measure(const Probe& probe, LayerProgress& progress) {
    const auto changed = encode_probe(source_, probe, settings_, stop_);
    model::ForwardPass pass(changed, config_, batch_, settings_.forward);
    const std::uint32_t first = first_layer(probe.tensor);
    start(pass, probe.tensor, first);
    for (std::uint32_t layer = first; layer < config_.layers; ++layer) {
      pass.run_layer(pass.loader().layer(layer), layer, nullptr, stop_,
                     progress.layer(base_.loader(), layer));
    }
    WindowScorer scorer({.windows = batch_.windows(),
                         .context = batch_.context,
                         .original = source_.name(),
                         .quantized = source_.name()});
    stages::score_windows(base_, &pass, stop_, scorer);
    return prediction_change(scorer.scores()).kl_divergence.value;
  }

  /// Where the walk with this tensor changed begins; the number of layers for the output matrix.
  std::uint32_t first_layer(std::size_t tensor) const {
    const auto place = model::place_of(source_.tensors()[tensor].name);
    if (place.layer) return *place.layer;
    return place.role == model::TensorRole::token_embedding ? 0 : config_.layers;
  }

  const model::WeightLoader& loader() const { return base_.loader(); }

 private:
  void keep_boundary() {
    const auto used = base_.states().bytes().size() * (boundaries_.size() + 1);
    const auto& forward = settings_.forward;
    boundaries_.emplace_back(
        batch_.windows(), batch_.context, config_.embedding,
        model::HiddenStatesSettings{
            forward.precision, forward.memory_bytes - std::min<std::uint64_t>(forward.memory_bytes, used),
            forward.scratch_folder});
    model::copy_states(base_.states(), boundaries_.back());
  }

  void start(model::ForwardPass& pass, std::size_t tensor, std::uint32_t first) {
    if (model::place_of(source_.tensors()[tensor].name).role == model::TensorRole::token_embedding) {
      pass.embed();
    } else if (first == config_.layers) {
      model::copy_states(base_.states(), pass.states());
    } else {
      model::copy_states(boundaries_[first], pass.states());
    }
  }

  const WeightSource& source_;
  const model::DecoderConfig& config_;
  const model::TokenBatch& batch_;
  const MeasureSettings& settings_;
  const StopFlag& stop_;
  model::ForwardPass base_;
  std::vector<model::HiddenStates> boundaries_;  ///< by layer: what enters it
};

std::vector<double> finished_losses(const WalkCheckpoint& checkpoint) {
  std::vector<double> losses(checkpoint.finished());
  if (losses.empty()) return losses;
  const auto bytes = checkpoint.blob(kLosses);
  losses.resize(std::min(losses.size(), bytes.size() / sizeof(double)));
  std::memcpy(losses.data(), bytes.data(), losses.size() * sizeof(double));
  return losses;
}

}  // namespace

std::vector<double> measure_losses(const WeightSource& source, const model::DecoderConfig& config,
                                   const model::TokenBatch& batch, std::span<const Probe> probes,
                                   const MeasureSettings& settings, WalkCheckpoint& checkpoint,
                                   ProgressObserver& progress, const StopFlag& stop) {
  Measurement measurement(source, config, batch, settings, stop);
  auto losses = finished_losses(checkpoint);
  LayerProgress layers("measuring", progress);
  layers.add(measurement.loader(), config.layers);
  for (std::size_t i = losses.size(); i < probes.size(); ++i)
    layers.add(measurement.loader(), measurement.first_layer(probes[i].tensor), config.layers);
  layers.begin();
  measurement.walk_base(layers);
  for (std::size_t i = losses.size(); i < probes.size(); ++i) {
    losses.push_back(measurement.measure(probes[i], layers));
    checkpoint.keep(kLosses, std::as_bytes(std::span(losses)));
    checkpoint.commit(static_cast<std::uint32_t>(losses.size()), {kLosses});
    layers.item_done(fmt::format("{} as {}: mean KL divergence {:.3e}",
                                 printable(source.tensors()[probes[i].tensor].name), name_of(probes[i].type),
                                 losses.back()));
  }
  layers.end();
  return losses;
}

}  // namespace tessera::pipeline
