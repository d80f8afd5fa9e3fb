// A residual stream on its way through a layer in stages, between which the layer's weights may change:
//
//   attention         n = rms_norm(h)                         shown to q, k, v
//   attention_output  a = attention of q n, k n, v n          shown to o
//   feed_forward      h' = h + o a, m = rms_norm(h')          shown to gate, up
//   down              s = silu(gate m) * up m                 shown to down
//   finish            h <- h' + down s
//
// In a mixture of experts these are those of the shared expert, where there is one, and between down and
// finish an expert's rows can be had: m, and s of that expert, of any tokens, whether they pass it or not.
// Which experts they pass is decided when feed_forward is shown; m is normalized anew each time, and finish
// takes all experts anew (mixture_forward.h), so nothing else is kept.
//
// Every other linear is multiplied once, with the steps, tiles and roundings of LayerForward::run: the bits
// are the same. What a later stage needs is kept for all windows: h in the precision of the pass, h' in
// float32 (LayerForward does not round it), and a [.., q], whose place s [.., f] takes once nothing reads a
// any more. So a token takes b e + 4 e + b max(q, f) bytes at b bytes per element, and 4 for each expert that
// it passes. Places serve one layer after the other: new ones for each would spend more time on new pages
// than a small model's products take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/forward/forward_pass.h"

namespace tessera::model {

/// What linears of a layer read, in the order in which a pass comes to it.
enum class LayerInput { attention, attention_output, feed_forward, down };

/// The linears that read an input.
std::vector<Linear*> readers_of(LayerInput input, LayerWeights& weights);

/// Positions [first, first + tokens) of a window.
struct WindowPart {
  std::size_t window = 0;
  std::size_t first = 0;
  std::size_t tokens = 0;
};

/// One token of a stream's windows.
struct TokenPosition {
  std::size_t window = 0;
  std::size_t position = 0;
};

/// One worker's steps and scratch memory.
struct StageWorker {
  /// For windows of `context` tokens. Config and table outlive it.
  StageWorker(const DecoderConfig& config, const kernels::RopeTable& rope, kernels::Precision precision,
              std::size_t context);

  LayerForward steps;
  TileActivations tile;
  AttentionHeads heads;      ///< of a window
  kernels::Matrix attended;  ///< of a tile, [tokens, q]
};

class StagedStream {
 public:
  /// `settings.memory_bytes` bounds what the stream keeps in memory, all storages together. Config outlives
  /// it. Throws IoError when a scratch file is needed and cannot be made.
  StagedStream(const DecoderConfig& config, std::size_t windows, std::size_t context,
               const ForwardSettings& settings);

  /// h: what entered the layer, until finish replaces it by what leaves it.
  HiddenStates& states() { return states_; }
  LayerWeights& weights() { return weights_; }
  const LayerWeights& weights() const { return weights_; }

  void begin_layer(LayerWeights weights, std::uint32_t layer);
  void end_layer();

  /// Rows of `rows` from `first_row` on = the input of the part. A part is a tile of tile_tokens tokens of a
  /// window (fewer at its end), of attention_output a whole window. Different parts may come from different
  /// threads.
  void run(LayerInput input, const WindowPart& part, StageWorker& worker, kernels::Matrix& rows,
           std::size_t first_row);
  /// Gives up the weights that only this stage multiplied.
  void end(LayerInput input);

  /// The experts that every token passes in the present layer, [windows * context, used]; of mixtures, once
  /// all of feed_forward was run.
  std::span<const std::uint32_t> chosen() const { return chosen_; }
  /// Rows of `rows` from `first_row` on = what those linears of an expert read at these tokens, kTileTokens
  /// at most, whose `input` is feed_forward or down.
  void run_expert(LayerInput input, const Expert& expert, std::span<const TokenPosition> tokens,
                  StageWorker& worker, kernels::Matrix& rows, std::size_t first_row) const;

  /// Takes a tile past the layer's end.
  void finish(const WindowPart& part, StageWorker& worker);
  /// rms_norm of h with a weight that is not the layer's.
  void normalize(std::span<const float> weight, const WindowPart& part, StageWorker& worker,
                 kernels::Matrix& rows, std::size_t first_row);

  /// Says that a window will not be needed soon (HiddenStates::release).
  void release(std::size_t window) const;

 private:
  void attend(const WindowPart& window, StageWorker& worker, kernels::Matrix& rows, std::size_t first_row);
  void enter_feed_forward(const WindowPart& part, StageWorker& worker, kernels::Matrix& rows,
                          std::size_t first_row);
  void activate(const WindowPart& part, StageWorker& worker, kernels::Matrix& rows, std::size_t first_row);
  std::span<float> load(const HiddenStates& states, const WindowPart& part, StageWorker& worker) const;
  /// The part's rows of a or s, [part.tokens, columns].
  std::span<std::byte> kept(const WindowPart& part, std::size_t columns);

  const DecoderConfig& config_;
  std::size_t context_;
  std::size_t element_bytes_;
  HiddenStates states_;
  HiddenStates middle_;  ///< h'
  HiddenStates kept_;    ///< a, then s: dense rows from the start of each window
  std::vector<std::uint32_t> chosen_;
  LayerWeights weights_;
  std::uint32_t layer_ = 0;
};

}  // namespace tessera::model
