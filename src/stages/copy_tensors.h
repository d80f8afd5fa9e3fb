// Writes the tensors of a source as they are, piece by piece.
#pragma once

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/tensor/tensor_sink.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::stages {

/// `sink` has the source's tensors, in their order. Commits nothing. `threads` 0: all cores. Throws what the
/// source and the sink throw, InterruptedError.
void copy_tensors(const WeightSource& source, TensorSink& sink, int threads, ProgressObserver& progress,
                  const StopFlag& stop);

}  // namespace tessera::stages
