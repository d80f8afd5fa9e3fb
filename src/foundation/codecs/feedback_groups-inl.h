// Rounding a group of columns in a metric that is not diagonal.
//
// `round` weighs the weights of a group independently. Where a group is wider than 1, it therefore gets the
// target of one step of descent from the present code, t = y + gradient / D with the diagonal D of the
// metric, and what it reaches is compared exactly. (D as a majorant of the metric, which makes each step safe
// by itself, is shorter-sighted: models/small in IQ2_XS, KL divergence .0055 with the majorant, .0050 with
// the diagonal.)
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_FEEDBACK_GROUPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_FEEDBACK_GROUPS_INL_H_
#undef TESSERA_CODECS_FEEDBACK_GROUPS_INL_H_
#else
#define TESSERA_CODECS_FEEDBACK_GROUPS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "foundation/codecs/feedback_metric.h"
#include "foundation/codecs/lane_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The metrics of the groups of a panel, and what `round` gets of them.
template <class Format>
struct GroupMetrics {
  static constexpr std::size_t kWidth = Format::kGroupWeights;

  std::vector<float> of;                          ///< [groups][kWidth][kWidth]
  std::vector<float> diagonal;                    ///< [columns]
  std::vector<typename Format::Columns> columns;  ///< by block, prepared with the diagonal as importance

  /// Metrics M_g = R_gg R_gg^T.
  void set_conditional(const FeedbackMetric& metric, std::size_t panel) {
    const std::size_t n = metric.panel_columns(panel);
    const float* factor = metric.factor().within(panel).data();  // [k, j] = R_jk
    set(n, [&](std::size_t i, std::size_t j) {
      const std::size_t last = (i / kWidth + 1) * kWidth;
      double sum = 0;
      for (std::size_t k = std::max(i, j); k < last; ++k) {
        sum += static_cast<double>(factor[k * n + i]) * factor[k * n + j];
      }
      return static_cast<float>(sum);
    });
  }
  /// Metrics H_gg.
  void set_full(const FeedbackMetric& metric, std::size_t panel) {
    const std::size_t n = metric.panel_columns(panel);
    const float* hessian = metric.diagonal_block(panel).data();
    set(n, [&](std::size_t i, std::size_t j) { return hessian[i * n + j]; });
  }

 private:
  template <class Element>
  void set(std::size_t n, const Element& element) {
    of.resize(n * kWidth);
    diagonal.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < kWidth; ++j) of[i * kWidth + j] = element(i, i / kWidth * kWidth + j);
      diagonal[i] = of[i * kWidth + i % kWidth];
    }
    alignas(64) float importance[Format::kBlockWeights];
    columns.resize(n / Format::kBlockWeights);
    for (std::size_t block = 0; block < columns.size(); ++block) {
      normalize_importance(std::span(diagonal).subspan(block * Format::kBlockWeights, Format::kBlockWeights),
                           importance);
      Format::prepare(importance, columns[block]);
    }
  }
};

/// sum_ij a_i metric_ij b_j over a group.
template <std::size_t kWidth>
HWY_INLINE LaneVector group_product(const float* metric, const LaneVector* a, const LaneVector* b) {
  const LaneTag tag;
  auto total = hn::Zero(tag);
  for (std::size_t i = 0; i < kWidth; ++i) {
    auto sum = hn::Zero(tag);
    for (std::size_t j = 0; j < kWidth; ++j)
      sum = hn::MulAdd(hn::Set(tag, metric[i * kWidth + j]), b[j], sum);
    total = hn::MulAdd(a[i], sum, total);
  }
  return total;
}

/// What the codes of a group decode to.
template <class Format>
HWY_INLINE void decode_group(const typename Format::Scales& scales,
                             const LaneScales<Format::kSubBlocks>& stored, std::size_t group,
                             const std::int32_t* code, LaneVector* y /*[kGroupWeights]*/) {
  constexpr std::size_t kWidth = Format::kGroupWeights;
  const LaneTag tag;
  alignas(64) float v[kWidth * kLanes];
  Format::values(scales, group, code, v);
  const std::size_t s = group * kWidth / (Format::kBlockWeights / Format::kSubBlocks);
  const auto scale = stored.scale(s);
  for (std::size_t i = 0; i < kWidth; ++i) {
    y[i] = hn::Mul(scale, hn::Load(tag, v + i * kLanes));
    if constexpr (Format::kFreedom.minimum_unit) y[i] = hn::Sub(y[i], stored.offset(s));
  }
}

/// The block that a group is rounded in.
template <class Format>
struct BlockState {
  const typename Format::Columns& columns;
  const typename Format::Scales& scales;
  const LaneScales<Format::kSubBlocks>& stored;
};

/// One step of descent: rounds y + gradient / D, D the diagonal of the group's metric, and keeps it in the
/// lanes where change M change^T - 2 gradient change^T < 0. Returns the change of y.
template <class Format>
void step_group(const BlockState<Format>& block, std::size_t group, const float* metric,
                const float* diagonal, const LaneVector* gradient, std::int32_t* code, LaneVector* y,
                LaneVector* change) {
  constexpr std::size_t kWidth = Format::kGroupWeights;
  const LaneTag tag;
  const LaneIntTag int_tag;
  alignas(64) float wanted[kWidth * kLanes];
  alignas(64) std::int32_t new_code[kLanes];
  for (std::size_t i = 0; i < kWidth; ++i) {
    hn::Store(hn::MulAdd(gradient[i], hn::Set(tag, 1.0f / diagonal[i]), y[i]), tag, wanted + i * kLanes);
  }
  Format::round(block.columns, block.scales, group, wanted, new_code);
  LaneVector new_y[kWidth];
  decode_group<Format>(block.scales, block.stored, group, new_code, new_y);
  auto gain = hn::Zero(tag);
  for (std::size_t i = 0; i < kWidth; ++i) {
    change[i] = hn::Sub(new_y[i], y[i]);
    gain = hn::MulAdd(change[i], gradient[i], gain);
  }
  const auto cost = hn::Sub(group_product<kWidth>(metric, change, change), hn::Add(gain, gain));
  const auto better = hn::Lt(cost, hn::Zero(tag));
  const auto kept =
      hn::IfThenElse(hn::RebindMask(int_tag, better), hn::Load(int_tag, new_code), hn::Load(int_tag, code));
  hn::Store(kept, int_tag, code);
  for (std::size_t i = 0; i < kWidth; ++i) {
    y[i] = hn::IfThenElse(better, new_y[i], y[i]);
    change[i] = hn::IfThenElseZero(better, change[i]);
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
