// Products of a few rows with a large matrix, divided among threads: the linears of a decoding step.
//
// Such a product is bound by reading the matrix W [out, in] once. W is cut into slices of kSliceOutputs rows,
// which threads take in turn; the input is cut into tiles of kTileRows rows, the last one filled up with
// zeros. Each piece is the product slice [kSliceOutputs, in] * tile^T [in, kTileRows], with W as the left
// operand, which the matrix units read as it lies (as the right one oneDNN repacks it first). With 16 columns
// that is as fast as a matrix-vector product (bench/forward_benchmark.cc measures both), so a single row
// takes the same way.
//
// All pieces of a matrix have the same shape whatever the number of rows and threads, and a column of a
// product does not depend on its neighbours: a row's result is the same bits alone and among others.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "foundation/kernels/matrix.h"

namespace tessera::kernels {

/// Rows of `matrix` from `first` on.
struct InputRows {
  const Matrix& matrix;
  std::size_t first = 0;
  std::size_t count = 0;
};

/// One caller at a time.
class TiledProducts {
 public:
  static constexpr std::size_t kSliceOutputs = 256;
  static constexpr std::size_t kTileRows = 16;

  /// `threads` as in parallel_for.
  explicit TiledProducts(int threads);

  int threads() const { return threads_; }

  /// result [count, out] = rows [count, in] W^T, or += where `accumulate`. Both operands have one precision.
  void multiply(const InputRows& rows, const Matrix& weight, bool accumulate, std::span<float> result);

 private:
  struct Worker {
    MatrixProducts products;
    std::vector<float> piece;  ///< [slice, kTileRows]
  };

  void multiply_slice(std::size_t first_output, const InputRows& rows, const Matrix& weight, bool accumulate,
                      std::span<float> result, Worker& worker) const;
  /// Copies the rows behind the last whole tile to `last_tile_`.
  void fill_last_tile(const InputRows& rows);

  int threads_;
  std::vector<Worker> workers_;
  Matrix last_tile_;
};

}  // namespace tessera::kernels
