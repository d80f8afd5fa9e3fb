// One worker's way through the experts of a layer, all rows of a tile together:
//
//   h <- h + sigmoid(g m) (what the shared expert makes of m)          where there is one; m = rms_norm(h)
//   h <- h + w_x Wdown_x (silu(Wgate_x m) * Wup_x m)                   for each expert x that the row passes
//
// The rows of an expert are gathered and multiplied together, one expert after the other. What a row gets
// does not depend on the others (kernels::TiledProducts): it is the same bits however rows are divided.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "foundation/kernels/tiled_products.h"
#include "model/forward/expert_routing.h"
#include "model/forward/forward_observer.h"
#include "model/forward/layer_weights.h"
#include "model/forward/linear_products.h"

namespace tessera::model {

class MixtureForward {
 public:
  /// Config, whose mixture is there, and `tiled` outlive it; `tiled` as in LayerForward.
  MixtureForward(const DecoderConfig& config, kernels::Precision precision, kernels::TiledProducts* tiled);

  /// Chooses the experts of the rows of `hidden`, [rows, e]; their own weights are not read.
  void route(const LayerWeights& weights, std::span<const float> hidden);
  /// The experts of each row, [rows, used].
  std::span<const std::uint32_t> chosen() const { return chosen_; }

  /// hidden += what the experts make of `input`, whose first rows are the normalized ones that were routed.
  void add_experts(const ExpertMixture& mixture, const kernels::Matrix& input, std::span<float> hidden,
                   const Watch& watch);
  /// Rows of `result` from `first_row` on = silu(Wgate m) * Wup m, m the rows of `input`.
  void activate(const Expert& expert, const kernels::InputRows& input, kernels::Matrix& result,
                std::size_t first_row);
  /// hidden += sigmoid(g m) outputs, those of the shared expert for the rows that were routed, [rows, e].
  void add_shared(std::span<const float> outputs, std::span<float> hidden) const;

 private:
  /// Room for the rows of the largest group.
  void reserve(std::size_t rows);
  void gather(const kernels::Matrix& input, std::span<const std::uint32_t> rows);
  /// silu(Wgate m) * Wup m, [rows, f], of expert number `x`; valid until the next call.
  std::span<const float> gated(const Expert& expert, const kernels::InputRows& input, std::size_t x,
                               const Watch& watch);
  void apply(const Linear& linear, const kernels::InputRows& input, std::size_t expert,
             std::span<float> result, const Watch& watch);

  const DecoderConfig& config_;
  kernels::Precision precision_;
  std::unique_ptr<kernels::TiledProducts> own_;  ///< where none were given
  LinearProducts products_;
  std::vector<std::uint32_t> chosen_;  ///< [rows, used]
  std::optional<ExpertGroups> groups_;
  std::vector<float> shared_weights_;  ///< sigmoid(g m) of each row, or empty
  std::size_t capacity_ = 0;           ///< rows of one expert
  kernels::Matrix gathered_;           ///< [capacity, e]
  std::vector<float> gate_;            ///< [capacity, f], f = MixtureConfig::feed_forward
  std::vector<float> up_;              ///< [capacity, f]
  kernels::Matrix activation_;         ///< silu(gate) * up, [capacity, f]
  std::vector<float> outputs_;         ///< [capacity, e]
};

}  // namespace tessera::model
