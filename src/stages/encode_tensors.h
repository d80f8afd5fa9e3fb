// Encodes every tensor of a plan from a source into a sink, and measures what that cost.
//
// The rows of all tensors are cut into chunks, in order, and handed to the threads; the last chunks of one
// tensor and the first of the next are worked on side by side. A chunk is read, decoded, checked, encoded,
// written to its place and decoded again for the error; then its pages are given back. Resident memory is a
// few chunks per thread, whatever the size of a tensor. Bytes and error figures do not depend on the number
// of threads.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "artifacts/encoding_error.h"
#include "artifacts/importance_matrix.h"
#include "artifacts/quant_plan.h"
#include "artifacts/weight_protection.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/codecs/encoder.h"
#include "foundation/tensor/tensor_sink.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::stages {

struct EncodeSettings {
  int threads = 0;  ///< 0: all cores
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;
  /// Weights per chunk, roughly: the unit of reading, writing and handing out.
  std::uint64_t chunk_weights = 1u << 19;
  /// Weights that are decoded, encoded, decoded again and compared at a time: they should stay in the level-2
  /// cache.
  std::uint64_t batch_weights = 1u << 15;
};

struct EncodeJob {
  const WeightSource& source;  ///< tensors in the plan's order
  const QuantPlan& plan;
  const PlanImportance& importance;  ///< `tensors` is empty or as long as the plan
  TensorSink& sink;                  ///< declared with the plan's output descriptors, in the same order
  /// Tensors that are encoded already or in another way, by index: they are not touched. Empty, or as long as
  /// the plan.
  std::vector<std::optional<EncodingError>> finished = {};
  /// Weights whose blocks are encoded with care (foundation/codecs/protected_block.h).
  PlanProtection protection = {};
  /// Called once per tensor, in the plan's order, when all rows of it and of those before it are written.
  std::function<void(std::size_t tensor, const EncodingError& error)> tensor_done = nullptr;
};

/// Returns the error of every tensor. Throws BadFileError for NaN or infinite weights (tensor, row and column
/// are named), IoError, InterruptedError when `stop` was requested.
std::vector<EncodingError> encode_tensors(const EncodeJob& job, const EncodeSettings& settings,
                                          ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::stages
