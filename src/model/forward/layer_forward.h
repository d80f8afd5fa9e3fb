// One worker's way through a layer, window by window:
//
//   h <- h + Wo attention(rope(Wq n), rope(Wk n), Wv n)      n = rms_norm(h)
//   h <- h + Wdown (silu(Wgate m) * Wup m)                   m = rms_norm(h); mixtures: mixture_forward.h
//
// Operands of matrix products are in the precision of the pass; norms, rotary embedding, softmax, gated
// activation and the residual stream h are float32. A window is taken in tiles of tokens, so that scratch
// memory does not grow with the context (queries, keys and values do).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "foundation/kernels/rope.h"
#include "model/forward/attention.h"
#include "model/forward/forward_observer.h"
#include "model/forward/hidden_states.h"
#include "model/forward/layer_weights.h"
#include "model/forward/linear_products.h"
#include "model/forward/mixture_forward.h"

namespace tessera::model {

/// Tokens that go through a layer's linears together.
inline constexpr std::size_t kTileTokens = 256;
/// Likewise in mixtures of experts: many, since each expert's weights are read for its share of them alone.
inline constexpr std::size_t kMixtureTileTokens = 2048;

/// Tokens of a tile in windows of `context` tokens.
std::size_t tile_tokens(const DecoderConfig& config, std::size_t context);

/// The activations of one tile, [tokens, ..] each: what the linears read and what they make of it.
struct TileActivations {
  TileActivations(const DecoderConfig& config, kernels::Precision precision, std::size_t tokens);

  std::vector<float> hidden;        ///< h, [tokens, e]
  kernels::Matrix attention_input;  ///< n, [tokens, e]
  std::vector<float> query;         ///< [tokens, q], bias included, before norm and rotation
  std::vector<float> key;           ///< [tokens, k], likewise
  std::vector<float> value;         ///< [tokens, k]
  kernels::Matrix ffn_input;        ///< m, [tokens, e]
  std::vector<float> gate;          ///< [tokens, f]
  std::vector<float> up;            ///< [tokens, f]
  kernels::Matrix ffn_activation;   ///< silu(gate) * up, [tokens, f]
};

class LayerForward {
 public:
  /// For windows of `context` tokens, which bound run alone and not its steps. Config, table and `tiled`
  /// outlive it. With `tiled` the linears divide their products among its threads; otherwise this thread
  /// computes them whole.
  LayerForward(const DecoderConfig& config, const kernels::RopeTable& rope, kernels::Precision precision,
               std::size_t context, kernels::TiledProducts* tiled = nullptr);

  /// Takes one window of `states` through the layer. `observer` may be null.
  void run(const LayerWeights& weights, std::uint32_t layer, std::size_t window, std::size_t lane,
           HiddenStates& states, ForwardObserver* observer);

  // The steps of run, on the first `tokens` rows of a tile; the key/value cache of generation, the backward
  // pass and the paired pass go the same way.

  /// Rows of `result` from `first_row` on = rms_norm of the rows of `x`.
  void normalize(std::span<const float> weight, std::size_t tokens, std::span<const float> x,
                 kernels::Matrix& result, std::size_t first_row = 0);
  /// attention_input, query, key and value of tile.hidden.
  void project_heads(const LayerWeights& weights, std::size_t tokens, TileActivations& tile);
  /// Norm and rotation of query and key heads, from rows of `tile` on `first_row` into rows of `heads`: token
  /// `first_token` among its queries, and position `first_position` among its keys.
  void place_heads(const LayerWeights& weights, std::size_t tokens, std::size_t first_token,
                   std::size_t first_position, TileActivations& tile, AttentionHeads& heads,
                   std::size_t first_row = 0);
  /// hidden += Wo rows of `attended` from `first_row` on.
  void add_attention(const LayerWeights& weights, std::size_t tokens, const kernels::Matrix& attended,
                     std::size_t first_row, TileActivations& tile);
  /// ffn_input of tile.hidden; in mixtures, the experts of its rows as well.
  void enter_feed_forward(const LayerWeights& weights, std::size_t tokens, TileActivations& tile);
  /// The same, and gate, up and ffn_activation.
  void project_feed_forward(const LayerWeights& weights, std::size_t tokens, TileActivations& tile);
  /// hidden += Wdown ffn_activation; in mixtures what all experts make of ffn_input.
  void add_down(const LayerWeights& weights, std::size_t tokens, TileActivations& tile);
  /// Both.
  void add_feed_forward(const LayerWeights& weights, std::size_t tokens, TileActivations& tile);

  Attention& attention() { return attention_; }
  /// Of a mixture.
  MixtureForward& mixture() { return *mixture_; }
  kernels::MatrixProducts& products() { return products_.own(); }

 private:
  void apply(const Linear& linear, std::size_t tokens, const kernels::Matrix& input, std::size_t first_row,
             bool accumulate, std::span<float> result);
  void activate(std::size_t tokens, TileActivations& tile);

  const DecoderConfig& config_;
  const kernels::RopeTable& rope_;
  LinearProducts products_;
  std::optional<MixtureForward> mixture_;
  Attention attention_;
  TileActivations tile_;
  AttentionHeads heads_;
  kernels::Matrix attended_;   ///< [context, q]
  std::vector<float> row_;     ///< a normalized row
  std::vector<float> output_;  ///< outputs for an observer
  std::vector<float> shared_;  ///< outputs of a shared expert
  Watch watch_;
};

}  // namespace tessera::model
