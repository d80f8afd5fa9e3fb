// Rows of activations times a W8A8 weight, in integer arithmetic:
//
//   y [t, o] = (sum_i code(x [t, i]) * code(w [o, i])) * scale(x [t]) * scale(w [o])
//
// The weight W [out, in] is cut into slices of kSliceOutputs rows, which threads take in turn; the int32 sums
// of a slice stay in the cache until they are scaled. Few rows are bound by reading W, which then is the left
// operand: the matrix units read that as it lies, and what is on the right oneDNN rearranges first. Many rows
// are the left operand themselves. Sums of integers are exact, so neither this nor the number of threads nor
// what other rows there are changes a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "foundation/kernels/int8_matrix.h"
#include "foundation/kernels/tiled_products.h"

namespace tessera::kernels {

/// One caller at a time.
class Int8Products {
 public:
  static constexpr std::size_t kSliceOutputs = 256;
  /// Up to so many rows the weight is the left operand.
  static constexpr std::size_t kFewRows = 64;

  /// `threads` as in parallel_for.
  explicit Int8Products(int threads);

  /// result [count, out] = the product above, or += where `accumulate`. A row that holds a NaN gives NaNs.
  void multiply(const InputRows& rows, const Int8Matrix& weight, bool accumulate, std::span<float> result);

 private:
  struct Worker {
    ByteProducts products;
    AlignedBytes sums;              ///< int32, [rows, slice], or [slice, rows] of few rows
    std::vector<std::int32_t> row;  ///< [slice]
  };

  void quantize(const InputRows& rows, const Int8Matrix& weight);
  void multiply_slice(std::size_t first_output, const Int8Matrix& weight, bool accumulate,
                      std::span<float> result, Worker& worker) const;

  int threads_;
  std::vector<Worker> workers_;
  std::vector<float> values_;  ///< a row of the input
  std::vector<float> scales_;  ///< of the rows
  AlignedBytes codes_;         ///< of the rows, [padded rows, in]
};

}  // namespace tessera::kernels
