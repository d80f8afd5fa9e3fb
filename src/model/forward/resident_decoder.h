// A whole decoder kept in memory, through which sequences pass a few tokens at a time.
//
// The tokens of all sequences of a step go through the linears as the rows of one matrix, so that weights are
// read once for all of them (kernels::TiledProducts); attention is computed sequence by sequence over its own
// cache. What a step makes of a sequence has the same bits for any number of threads and whatever other
// sequences take part.
//
// The output matrix is always resident. Layers whose decoded weights exceed the budget are decoded again from
// the file in every step: slow, but a model of any size runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/kernels/tiled_products.h"
#include "model/forward/key_value_cache.h"
#include "model/forward/layer_forward.h"
#include "model/forward/layer_weights.h"
#include "model/forward/output_head.h"

namespace tessera::model {

struct DecoderSettings {
  kernels::Precision precision = kernels::Precision::f32;  ///< of weights, keys and values
  int threads = 0;                                         ///< 0: all cores
  /// Decoded weights that may stay in memory; the output matrix counts, and stays in any case. Keys and
  /// values come on top: 2 * layers * key_value_width elements a token.
  std::uint64_t memory_bytes = std::uint64_t{8} << 30;
};

/// Tokens that come next in one sequence.
struct SequenceStep {
  KeyValueCache& cache;
  std::span<const std::int32_t> tokens;  ///< not empty
  std::size_t first_logits = 0;          ///< logits are wanted from this token on
};

/// Takes the logits behind token `token` of step `step`, [vocabulary]; valid during the call.
using LogitsVisitor = std::function<void(std::size_t step, std::size_t token, std::span<float> logits)>;

class ResidentDecoder {
 public:
  /// Decodes the weights, for sequences of at most `positions` tokens. Source and config outlive it. Reports
  /// progress, and notes it when layers do not fit. Throws BadFileError, InterruptedError.
  ResidentDecoder(const WeightSource& source, const DecoderConfig& config, std::size_t positions,
                  const DecoderSettings& settings, ProgressObserver& progress, const StopFlag& stop);

  const DecoderConfig& config() const { return config_; }
  const WeightSource& source() const { return loader_.source(); }
  /// Layers that stay in memory, the first ones.
  std::uint32_t resident_layers() const { return static_cast<std::uint32_t>(layers_.size()); }
  KeyValueCache new_cache() const { return {config_, settings_.precision}; }

  /// Takes all steps, of distinct sequences, through the decoder. Throws BadFileError on tokens beyond the
  /// vocabulary and on damaged weights, std::bad_alloc; the sequences are then of no further use.
  void advance(std::span<const SequenceStep> steps, const LogitsVisitor& visit);

 private:
  void load(ProgressObserver& progress, const StopFlag& stop);
  void reserve_rows(std::size_t rows);
  void embed(std::span<const SequenceStep> steps);
  void run_layer(const LayerWeights& weights, std::uint32_t layer, std::span<const SequenceStep> steps);
  void visit_logits(std::span<const SequenceStep> steps, const LogitsVisitor& visit);

  const DecoderConfig& config_;
  DecoderSettings settings_;
  WeightLoader loader_;
  kernels::RopeTable rope_;
  kernels::TiledProducts tiled_;
  std::vector<LayerWeights> layers_;
  OutputWeights output_;
  std::optional<OutputHead> head_;
  std::vector<LayerForward> workers_;
  std::size_t capacity_ = 0;  ///< rows that a step may have at present
  std::size_t rows_ = 0;      ///< of the present step
  std::optional<TileActivations> tile_;
  kernels::Matrix attended_;  ///< [capacity, query_width]
};

}  // namespace tessera::model
