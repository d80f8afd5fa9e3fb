// Targets and errors of kFeedbackRows rows that are encoded together, and what errors carry from panel to
// panel: products of matrices. Everything lies transposed, [column][row].
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_FEEDBACK_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_FEEDBACK_PANELS_INL_H_
#undef TESSERA_CODECS_FEEDBACK_PANELS_INL_H_
#else
#define TESSERA_CODECS_FEEDBACK_PANELS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "foundation/codecs/feedback.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// A panel of one tile of rows.
struct PanelTile {
  static constexpr std::size_t kPanel = FeedbackMetric::kPanelColumns;
  alignas(64) float target[kPanel * kLanes];
  alignas(64) float error[kPanel * kLanes];
  alignas(64) float carried[kPanel * kLanes];  ///< a, or G
};

class FeedbackPanels {
 public:
  FeedbackPanels(const FeedbackMetric& metric, kernels::MatrixProducts& products)
      : metric_(metric),
        products_(products),
        columns_(metric.columns()),
        targets_(columns_ * kFeedbackRows),
        errors_(columns_ * kFeedbackRows),
        carried_(kPanel * kFeedbackRows),
        rounded_(metric.precision(), metric.precision() == kernels::Precision::f32 ? 0 : columns_,
                 kFeedbackRows) {}

  /// Begins with new rows, without errors; missing ones repeat the last.
  void load(std::span<const float> weights, std::size_t rows) {
    for (std::size_t c = 0; c < columns_; ++c) {
      for (std::size_t row = 0; row < kFeedbackRows; ++row) {
        targets_[c * kFeedbackRows + row] = weights[std::min(row, rows - 1) * columns_ + c];
      }
    }
    std::ranges::fill(errors_, 0.0f);
  }

  /// a of a panel: what the panels before it left.
  void carry_earlier(std::size_t panel) {
    if (panel == 0) {
      std::ranges::fill(carried_, 0.0f);
      return;
    }
    const auto& factor = metric_.factor_before(panel);
    multiply(factor.data(), factor.rows(), factor.columns());
  }
  /// G of a panel.
  void carry_all(std::size_t panel) {
    multiply(metric_.hessian().row(panel * kPanel), metric_.panel_columns(panel), columns_);
  }
  /// Copies what one tile of rows has of a panel; close writes its errors back.
  void open(std::size_t panel, std::size_t tile, PanelTile& open_tile) const {
    const std::size_t n = metric_.panel_columns(panel);
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t place = (panel * kPanel + k) * kFeedbackRows + tile * kLanes;
      std::copy_n(targets_.data() + place, kLanes, open_tile.target + k * kLanes);
      std::copy_n(errors_.data() + place, kLanes, open_tile.error + k * kLanes);
      std::copy_n(carried_.data() + k * kFeedbackRows + tile * kLanes, kLanes,
                  open_tile.carried + k * kLanes);
    }
  }
  void close(std::size_t panel, std::size_t tile, const PanelTile& closed) {
    const std::size_t n = metric_.panel_columns(panel);
    for (std::size_t k = 0; k < n; ++k) {
      std::copy_n(closed.error + k * kLanes, kLanes,
                  errors_.data() + (panel * kPanel + k) * kFeedbackRows + tile * kLanes);
    }
  }

  /// Once all tiles of a panel are closed: its errors as products take them.
  void round_errors(std::size_t panel) {
    if (metric_.precision() == kernels::Precision::f32) return;
    const std::size_t first = panel * kPanel;
    rounded_.store(first, std::span(errors_).subspan(first * kFeedbackRows,
                                                     metric_.panel_columns(panel) * kFeedbackRows));
  }

 private:
  static constexpr std::size_t kPanel = FeedbackMetric::kPanelColumns;

  void multiply(const std::byte* coefficients, std::size_t rows, std::size_t columns) {
    const bool as_they_are = metric_.precision() == kernels::Precision::f32;
    const auto* errors = as_they_are ? reinterpret_cast<const std::byte*>(errors_.data()) : rounded_.data();
    products_.multiply({.m = rows, .n = kFeedbackRows, .k = columns, .precision = metric_.precision()},
                       coefficients, errors, carried_.data());
  }

  const FeedbackMetric& metric_;
  kernels::MatrixProducts& products_;
  std::size_t columns_;
  std::vector<float> targets_;  ///< W, [columns][kFeedbackRows]
  std::vector<float> errors_;   ///< E = W - Y, the same
  std::vector<float> carried_;  ///< of the panel, [kPanel][kFeedbackRows]
  kernels::Matrix rounded_;     ///< errors_ as operands of products, where these are not float32
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
