// What error feedback takes and how hard it tries (feedback-inl.h is the algorithm).
#pragma once

#include <cstddef>
#include <span>

#include "foundation/codecs/feedback_metric.h"
#include "foundation/kernels/gemm.h"

namespace tessera::codecs {

struct FeedbackSettings {
  int sweeps = 2;  ///< of coordinate descent over scales and codes, after the pass with error feedback
};

/// Rows of weights to encode with error feedback.
struct FeedbackInput {
  std::span<const float> weights;  ///< targets, [rows, columns] row-major, finite
  std::size_t columns = 0;         ///< of the metric; a multiple of the format's block width
  const FeedbackMetric& metric;
  FeedbackSettings settings = {};

  std::size_t rows() const { return weights.size() / columns; }
};

/// Rows that share products of matrices: calls should bring whole multiples.
inline constexpr std::size_t kFeedbackRows = 128;

}  // namespace tessera::codecs
