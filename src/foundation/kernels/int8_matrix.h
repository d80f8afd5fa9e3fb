// A dense row-major matrix of signed bytes with a scale per row, the weight of a W8A8 linear:
// w [r, c] = code [r, c] * scale [r]. Its inputs become bytes as well: each token with a scale of its own, or
// all with a static one.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "foundation/kernels/matrix.h"

namespace tessera::kernels {

/// Codes start as zeros.
class Int8Matrix {
 public:
  Int8Matrix() = default;
  /// `scales` has one entry per row, positive; `columns` is below kMostByteTerms (gemm.h). Throws
  /// std::bad_alloc.
  Int8Matrix(std::vector<float> scales, std::size_t columns, std::optional<float> input_scale = std::nullopt)
      : columns_(columns),
        scales_(std::move(scales)),
        input_scale_(input_scale),
        codes_(scales_.size() * columns) {}

  std::size_t rows() const { return scales_.size(); }
  std::size_t columns() const { return columns_; }
  std::size_t bytes() const { return rows() * columns() + scales_.size() * sizeof(float); }

  std::span<const float> scales() const { return scales_; }
  /// Of all inputs, positive; empty: max |x| / 127 of each token.
  std::optional<float> input_scale() const { return input_scale_; }
  /// Codes from row `row` on.
  const std::int8_t* row(std::size_t row) const {
    return reinterpret_cast<const std::int8_t*>(codes_.data()) + row * columns_;
  }

  /// Replaces whole rows from `row` on.
  void store(std::size_t row, std::span<const std::int8_t> codes) {
    assert(codes.size() % columns_ == 0 && row + codes.size() / columns_ <= rows());
    std::ranges::copy(std::as_bytes(codes), codes_.data() + row * columns_);
  }

 private:
  std::size_t columns_ = 0;
  std::vector<float> scales_;
  std::optional<float> input_scale_;
  AlignedBytes codes_;
};

}  // namespace tessera::kernels
