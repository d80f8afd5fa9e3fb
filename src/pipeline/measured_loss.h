// The loss of every tensor alone, measured: the mean KL divergence of a model in which that tensor alone is
// stored in a probe type from the model itself, on a few windows.
//
// The unchanged model is walked once and what enters every layer is kept; for each tensor the walk starts
// again at the layer that the tensor belongs to. With L layers and t tensors in each that is about t L / 2
// walks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "artifacts/importance_matrix.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/codecs/encoder.h"
#include "model/forward/forward_pass.h"
#include "model/source/open_model.h"
#include "pipeline/walk_checkpoint.h"

namespace tessera::pipeline {

/// One tensor to probe.
struct Probe {
  std::size_t tensor = 0;                        ///< as numbered in the WeightSource
  ElementType type = ElementType::Q2_K;          ///< fits its rows
  const TensorImportance* importance = nullptr;  ///< for the encoder; null: none
};

struct MeasureSettings {
  model::ForwardSettings forward = {};
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;
};

/// Mean KL divergence in nats per token by probe, over the second halves of the windows. Goes on after the
/// probes that `checkpoint` says are finished. Throws BadFileError, IoError, InterruptedError.
std::vector<double> measure_losses(const WeightSource& source, const model::DecoderConfig& config,
                                   const model::TokenBatch& batch, std::span<const Probe> probes,
                                   const MeasureSettings& settings, WalkCheckpoint& checkpoint,
                                   ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
