// The walk that finds super weights by activation spikes: layer by layer, and in each again and again with
// those found set to 0, until no spike remains; the walk goes on with what the layer then gives, as in the
// paper (stages/spike_observer.h), so that later layers are not blamed for what an earlier weight has done.
//
// One forward pass over a few windows, of which only layers with finds run more than once. Nothing is kept
// for another run: a stop ends the walk, and the next starts over.
#pragma once

#include <vector>

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "model/forward/forward_pass.h"
#include "stages/spike_observer.h"

namespace tessera::pipeline {

/// Beyond as many weights the model has no few that stand out, and the search ends with a warning.
inline constexpr std::size_t kMostSpikes = 64;

/// `forward.memory_bytes` bounds the hidden states, which are kept twice. Spikes by score, then place. Throws
/// BadFileError, IoError or InterruptedError. Source, config and tokens outlive it.
std::vector<stages::Spike> find_spikes(const WeightSource& source, const model::DecoderConfig& config,
                                       const model::TokenBatch& batch, const stages::SpikeSettings& settings,
                                       model::ForwardSettings forward, ProgressObserver& progress,
                                       const StopFlag& stop);

}  // namespace tessera::pipeline
