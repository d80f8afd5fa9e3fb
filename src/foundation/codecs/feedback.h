// What error feedback takes (feedback-inl.h is the algorithm).
#pragma once

#include <cstddef>
#include <span>

#include "foundation/codecs/feedback_metric.h"
#include "foundation/kernels/gemm.h"

namespace tessera::codecs {

/// Rows of weights to encode with error feedback.
struct FeedbackInput {
  std::span<const float> weights;  ///< targets, [rows, columns of the metric] row-major, finite
  const FeedbackMetric& metric;    ///< its columns are a multiple of the format's block width
  int sweeps = 2;                  ///< of coordinate descent over scales and codes, after the first pass

  std::size_t columns() const { return metric.columns(); }
  std::size_t rows() const { return weights.size() / columns(); }
};

/// Rows that share products of matrices: calls should bring whole multiples.
inline constexpr std::size_t kFeedbackRows = 128;

}  // namespace tessera::codecs
