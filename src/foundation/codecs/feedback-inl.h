// Encoding with error feedback: rows W are rounded to Y so that tr(E H E^T), E = W - Y, is small, not the
// error of each weight alone.
//
// 1. Feedback, left to right (block-LDLQ: Chee et al. 2023, arXiv 2307.13304; Tseng et al. 2024, 2402.04396).
//    With H = R R^T (feedback_metric.h) the cost is ||E R||^2. Let a_k = sum_{j < k} E_j R_jk be what the
//    columns before left to column k; a group of columns g then rounds the target t_g = w_g + a_g R_gg^-1 in
//    the metric M_g = R_gg R_gg^T. The scales of a block are fitted to its targets as if its own codes made
//    no errors, when it is reached.
// 2. Sweeps of coordinate descent. With G = E H, changing Y by delta in the columns g costs
//    delta H_gg delta^T - 2 G_g delta^T more. Scales first: for codes that stay, y is linear in each of them
//    (lane_scales-inl.h), so each moves to the nearest storable value to its optimum; then every group rounds
//    anew. What does not lower the cost is not done.
//
// A diagonal H has nothing to feed back: the result is then that of plain encoding under its diagonal.
//
// Everything lives transposed, [column][row], with kFeedbackRows rows side by side: SIMD lanes are rows, and
// the products with R and H that carry errors between panels of columns are products of matrices.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_FEEDBACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_FEEDBACK_INL_H_
#undef TESSERA_CODECS_FEEDBACK_INL_H_
#else
#define TESSERA_CODECS_FEEDBACK_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "foundation/codecs/feedback.h"
#include "foundation/codecs/feedback_groups-inl.h"
#include "foundation/codecs/feedback_panels-inl.h"
#include "foundation/codecs/feedback_refit-inl.h"
#include "foundation/codecs/lane_products-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// Up to kFeedbackRows rows at a time.
template <class Format>
class FeedbackRows {
 public:
  static constexpr std::size_t kBlock = Format::kBlockWeights;
  static constexpr std::size_t kWidth = Format::kGroupWeights;
  static constexpr std::size_t kGroups = kBlock / kWidth;
  static constexpr std::size_t kSubBlocks = Format::kSubBlocks;
  static constexpr std::size_t kPanel = FeedbackMetric::kPanelColumns;
  static constexpr std::size_t kTiles = kFeedbackRows / kLanes;

  FeedbackRows(const FeedbackMetric& metric, kernels::MatrixProducts& products)
      : metric_(metric),
        panels_(metric, products),
        blocks_(metric.columns() / kBlock),
        codes_(kTiles * blocks_),
        scales_(kTiles * blocks_) {}

  /// Encodes up to kFeedbackRows rows.
  void encode(std::span<const float> weights, int sweeps, std::byte* out) {
    const std::size_t rows = weights.size() / metric_.columns();
    const std::size_t tiles = (rows + kLanes - 1) / kLanes;
    panels_.load(weights, rows);
    for (std::size_t panel = 0; panel < metric_.panels(); ++panel) {
      panels_.carry_earlier(panel);
      groups_.set_conditional(metric_, panel);
      for (std::size_t tile = 0; tile < tiles; ++tile) feed_back(panel, tile);
      panels_.round_errors(panel);
    }
    for (int sweep = 0; sweep < sweeps; ++sweep) {
      for (std::size_t panel = 0; panel < metric_.panels(); ++panel) {
        panels_.carry_all(panel);
        groups_.set_full(metric_, panel);
        for (std::size_t tile = 0; tile < tiles; ++tile) descend(panel, tile);
        panels_.round_errors(panel);
      }
    }
    pack(rows, out);
  }

 private:
  struct Codes {
    alignas(64) std::int32_t of[kGroups * kLanes];
  };

  std::size_t block_index(std::size_t panel, std::size_t tile, std::size_t block) const {
    return tile * blocks_ + panel * (kPanel / kBlock) + block;
  }
  typename Format::Scales& scales_of(std::size_t panel, std::size_t tile, std::size_t block) {
    return scales_[block_index(panel, tile, block)];
  }
  std::int32_t* codes_of(std::size_t panel, std::size_t tile, std::size_t block) {
    return codes_[block_index(panel, tile, block)].of;
  }

  // ---- feedback

  void feed_back(std::size_t panel, std::size_t tile) {
    panels_.open(panel, tile, tile_);
    const std::size_t n = metric_.panel_columns(panel);
    const float* factor = metric_.factor().within(panel).data();
    for (std::size_t block = 0; block < n / kBlock; ++block) {
      auto& scales = scales_of(panel, tile, block);
      fit_block(factor, n, block, scales);
      LaneScales<kSubBlocks> stored;
      Format::get_scales(scales, stored);
      const BlockState<Format> state{groups_.columns[block], scales, stored};
      std::int32_t* codes = codes_of(panel, tile, block);
      for (std::size_t strip = block * kBlock; strip < (block + 1) * kBlock; strip += kStripColumns) {
        for (std::size_t first = strip; first < strip + kStripColumns; first += kWidth) {
          feed_back_group(factor, n, first, state, codes + first % kBlock / kWidth * kLanes);
          spread_group(factor, n, first, strip + kStripColumns, tile_.error + first * kLanes);
        }
        spread_changes(factor + strip, n, tile_.error + strip * kLanes, strip + kStripColumns, n,
                       tile_.carried);
      }
    }
    panels_.close(panel, tile, tile_);
  }

  /// carried[k] += sum over the group of coefficients[k, j] changes[j], for k behind the group up to `end`.
  void spread_group(const float* coefficients, std::size_t n, std::size_t first, std::size_t end,
                    const float* changes) {
    const LaneTag tag;
    for (std::size_t k = first + kWidth; k < end; ++k) {
      float* carried = tile_.carried + k * kLanes;
      const auto sum = row_product(coefficients + k * n + first, changes, 0, kWidth);
      hn::Store(hn::Add(hn::Load(tag, carried), sum), tag, carried);
    }
  }

  /// Scales for the targets of a block as they would be without errors of its own.
  void fit_block(const float* factor, std::size_t n, std::size_t block, typename Format::Scales& scales) {
    const std::size_t first = block * kBlock;
    find_target(factor, n, first, kBlock, block_target_);
    Format::fit(groups_.columns[block], block_target_, scales);
  }

  /// t = w + a R^-1 over `count` columns.
  void find_target(const float* factor, std::size_t n, std::size_t first, std::size_t count,
                   float* target) const {
    const LaneTag tag;
    solve(factor + first * n + first, n, count, tile_.carried + first * kLanes, target);
    for (std::size_t i = 0; i < count * kLanes; i += kLanes) {
      const auto weight = hn::Load(tag, tile_.target + first * kLanes + i);
      hn::Store(hn::Add(hn::Load(tag, target + i), weight), tag, target + i);
    }
  }

  /// One step of descent for (target - y) M (target - y)^T.
  void improve(std::size_t first, const BlockState<Format>& state, const float* target, std::int32_t* code,
               LaneVector* y) const {
    const LaneTag tag;
    const float* metric = groups_.of.data() + first * kWidth;
    LaneVector distance[kWidth], gradient[kWidth], change[kWidth];
    for (std::size_t i = 0; i < kWidth; ++i) distance[i] = hn::Sub(hn::Load(tag, target + i * kLanes), y[i]);
    for (std::size_t i = 0; i < kWidth; ++i) {
      gradient[i] = hn::Zero(tag);
      for (std::size_t j = 0; j < kWidth; ++j) {
        gradient[i] = hn::MulAdd(hn::Set(tag, metric[i * kWidth + j]), distance[j], gradient[i]);
      }
    }
    step_group<Format>(state, first % kBlock / kWidth, metric, groups_.diagonal.data() + first, gradient,
                       code, y, change);
  }

  void feed_back_group(const float* factor, std::size_t n, std::size_t first, const BlockState<Format>& state,
                       std::int32_t* code) {
    const LaneTag tag;
    alignas(64) float target[kWidth * kLanes];
    find_target(factor, n, first, kWidth, target);
    const std::size_t group = first % kBlock / kWidth;
    LaneVector y[kWidth];
    Format::round(state.columns, state.scales, group, target, code);
    decode_group<Format>(state.scales, state.stored, group, code, y);
    if constexpr (kWidth > 1) improve(first, state, target, code, y);
    for (std::size_t i = 0; i < kWidth; ++i) {
      const auto weight = hn::Load(tag, tile_.target + (first + i) * kLanes);
      hn::Store(hn::Sub(weight, y[i]), tag, tile_.error + (first + i) * kLanes);
    }
  }

  // ---- coordinate descent

  void descend(std::size_t panel, std::size_t tile) {
    panels_.open(panel, tile, tile_);
    const std::size_t n = metric_.panel_columns(panel);
    const float* hessian = metric_.diagonal_block(panel).data();
    for (std::size_t block = 0; block < n / kBlock; ++block) {
      auto& scales = scales_of(panel, tile, block);
      std::int32_t* codes = codes_of(panel, tile, block);
      LaneScales<kSubBlocks> stored;
      Format::get_scales(scales, stored);
      const std::size_t first = block * kBlock;
      refit_.run({hessian + first * n + first, n, n - first, tile_.error + first * kLanes,
                  tile_.carried + first * kLanes},
                 scales, codes, stored);
      Format::set_scales(stored, scales);
      const BlockState<Format> state{groups_.columns[block], scales, stored};
      for (std::size_t strip = first; strip < first + kBlock; strip += kStripColumns) {
        descend_strip(hessian, n, strip, state, codes);
      }
    }
    panels_.close(panel, tile, tile_);
  }

  /// Columns before the strip have had their turn: their gradients are left as they were.
  void descend_strip(const float* hessian, std::size_t n, std::size_t strip, const BlockState<Format>& state,
                     std::int32_t* codes) {
    const LaneTag tag;
    alignas(64) float falls[kStripColumns * kLanes];  // of E: minus the change of Y
    for (std::size_t first = strip; first < strip + kStripColumns; first += kWidth) {
      LaneVector y[kWidth], gradient[kWidth], changes[kWidth];
      std::int32_t* code = codes + first % kBlock / kWidth * kLanes;
      for (std::size_t i = 0; i < kWidth; ++i) {
        y[i] = hn::Sub(hn::Load(tag, tile_.target + (first + i) * kLanes),
                       hn::Load(tag, tile_.error + (first + i) * kLanes));
        gradient[i] = hn::Load(tag, tile_.carried + (first + i) * kLanes);
      }
      step_group<Format>(state, first % kBlock / kWidth, groups_.of.data() + first * kWidth,
                         groups_.diagonal.data() + first, gradient, code, y, changes);
      for (std::size_t i = 0; i < kWidth; ++i) {
        hn::Store(hn::Neg(changes[i]), tag, falls + (first - strip + i) * kLanes);
        float* error = tile_.error + (first + i) * kLanes;
        hn::Store(hn::Sub(hn::Load(tag, error), changes[i]), tag, error);
      }
      spread_group(hessian, n, first, strip + kStripColumns, falls + (first - strip) * kLanes);
    }
    spread_changes(hessian + strip, n, falls, strip + kStripColumns, n, tile_.carried);
  }

  void pack(std::size_t rows, std::byte* out) {
    const std::size_t row_stride = blocks_ * Format::kBlockBytes;
    for (std::size_t first = 0; first < rows; first += kLanes) {
      const std::size_t count = std::min(kLanes, rows - first);
      for (std::size_t block = 0; block < blocks_; ++block) {
        const std::size_t index = first / kLanes * blocks_ + block;
        pack_tile<Format>(scales_[index], codes_[index].of, count,
                          out + first * row_stride + block * Format::kBlockBytes, row_stride);
      }
    }
  }

  const FeedbackMetric& metric_;
  FeedbackPanels panels_;
  std::size_t blocks_;
  std::vector<Codes> codes_;                     ///< [tile][block]
  std::vector<typename Format::Scales> scales_;  ///< [tile][block]
  GroupMetrics<Format> groups_;
  PanelTile tile_;  ///< the panel under work, of one tile
  alignas(64) float block_target_[kBlock * kLanes];
  ScaleRefit<Format> refit_;
};

/// Encodes all rows of `input`.
template <class Format>
void encode_rows_with_feedback(const FeedbackInput& input, kernels::MatrixProducts& products,
                               std::byte* out) {
  if (input.metric.is_diagonal()) {
    return encode_rows<Format>({input.weights, input.columns(), input.metric.diagonal()}, out);
  }
  const auto rows_at_once = std::make_unique<FeedbackRows<Format>>(input.metric, products);
  const std::size_t row_bytes = input.columns() / Format::kBlockWeights * Format::kBlockBytes;
  for (std::size_t row = 0; row < input.rows(); row += kFeedbackRows) {
    const std::size_t rows = std::min(kFeedbackRows, input.rows() - row);
    rows_at_once->encode(input.weights.subspan(row * input.columns(), rows * input.columns()), input.sweeps,
                         out + row * row_bytes);
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
