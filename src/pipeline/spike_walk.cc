#include "pipeline/spike_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "pipeline/layer_progress.h"
#include "stages/edited_weights.h"

namespace tessera::pipeline {
namespace {

class SpikeWalk {
 public:
  SpikeWalk(const WeightSource& source, const model::DecoderConfig& config, const model::TokenBatch& batch,
            const stages::SpikeSettings& settings, const model::ForwardSettings& forward,
            ProgressObserver& progress, const StopFlag& stop)
      : source_(source),
        settings_(settings),
        forward_(forward),
        progress_(progress),
        stop_(stop),
        pass_(source, config, batch, forward),
        entered_(batch.windows(), batch.context, config.embedding,
                 {forward.precision, forward.memory_bytes, forward.scratch_folder}) {}

  std::vector<stages::Spike> run() {
    LayerProgress layers("finding activation spikes", progress_);
    layers.add(pass_.loader(), pass_.config().layers);
    layers.begin();
    pass_.embed();
    layers.walk(pass_.loader(), 0, pass_.config().layers,
                [&](std::uint32_t layer, const model::WindowsDone& done) { run_layer(layer, done); });
    layers.end();
    std::ranges::sort(found_, {}, [](const stages::Spike& spike) {
      return std::tuple(-spike.score, spike.tensor, spike.row, spike.column);
    });
    return std::move(found_);
  }

 private:
  void run_layer(std::uint32_t layer, const model::WindowsDone& done) {
    model::copy_states(pass_.states(), entered_);
    while (run_once(layer, done)) model::copy_states(entered_, pass_.states());
  }

  /// Whether weights were found that the layer is to be run again without.
  bool run_once(std::uint32_t layer, const model::WindowsDone& done) {
    const stages::EditedWeights edited(source_, removed_);
    stages::SpikeObserver observer(edited, settings_, pass_.lanes());
    const model::WeightLoader loader(edited, pass_.config(), forward_.precision, forward_.threads);
    const bool looks = found_.size() < kMostSpikes;
    pass_.run_layer(loader.layer(layer), layer, looks ? &observer : nullptr, stop_, done);
    if (!looks) return false;
    const auto spikes = observer.collect();
    for (const auto& spike : spikes) {
      found_.push_back(spike);
      removed_.push_back({spike.tensor, spike.row, spike.column, 0});
    }
    if (found_.size() >= kMostSpikes) {
      progress_.warn(
          fmt::format("{} weights make activation spikes up to layer {}, so none of them stands out; the "
                      "search ends there. Larger spike ratios find fewer",
                      found_.size(), layer));
    }
    return !spikes.empty();
  }

  const WeightSource& source_;
  stages::SpikeSettings settings_;
  model::ForwardSettings forward_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  model::ForwardPass pass_;
  model::HiddenStates entered_;  ///< what entered the present layer
  std::vector<stages::Spike> found_;
  std::vector<stages::WeightEdit> removed_;
};

}  // namespace

std::vector<stages::Spike> find_spikes(const WeightSource& source, const model::DecoderConfig& config,
                                       const model::TokenBatch& batch, const stages::SpikeSettings& settings,
                                       model::ForwardSettings forward, ProgressObserver& progress,
                                       const StopFlag& stop) {
  forward.memory_bytes /= 2;
  return SpikeWalk(source, config, batch, settings, forward, progress, stop).run();
}

}  // namespace tessera::pipeline
