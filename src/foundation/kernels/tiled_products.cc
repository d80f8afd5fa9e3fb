#include "foundation/kernels/tiled_products.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "foundation/base/parallel.h"

namespace tessera::kernels {
namespace {

/// A product that reads less than this (some 200 microseconds of one core) stays on the calling thread:
/// threads meet again at its end, which takes milliseconds where other programs have the cores.
constexpr std::size_t kLeastSharedBytes = 2 << 20;

}  // namespace

TiledProducts::TiledProducts(int threads)
    : threads_(resolve_threads(threads)), workers_(static_cast<std::size_t>(threads_)) {
  for (auto& worker : workers_) worker.piece.resize(kSliceOutputs * kTileRows);
}

void TiledProducts::multiply(const InputRows& rows, const Matrix& weight, bool accumulate,
                             std::span<float> result) {
  assert(rows.matrix.columns() == weight.columns() && rows.matrix.precision() == weight.precision());
  assert(rows.first + rows.count <= rows.matrix.rows());
  assert(result.size() == rows.count * weight.rows());
  if (rows.count % kTileRows != 0) fill_last_tile(rows);
  const std::size_t slices = (weight.rows() + kSliceOutputs - 1) / kSliceOutputs;
  const std::size_t tiles = (rows.count + kTileRows - 1) / kTileRows;
  const int threads = weight.bytes() * tiles < kLeastSharedBytes ? 1 : threads_;
  parallel_for(slices, threads, [&](std::size_t slice, int worker) {
    multiply_slice(slice * kSliceOutputs, rows, weight, accumulate, result,
                   workers_[static_cast<std::size_t>(worker)]);
  });
}

void TiledProducts::fill_last_tile(const InputRows& rows) {
  const Matrix& matrix = rows.matrix;
  if (last_tile_.columns() != matrix.columns() || last_tile_.precision() != matrix.precision()) {
    last_tile_ = Matrix(matrix.precision(), kTileRows, matrix.columns());
  }
  const std::size_t rest = rows.count % kTileRows;
  const std::size_t row_bytes = matrix.columns() * element_bytes(matrix.precision());
  std::memcpy(last_tile_.data(), matrix.row(rows.first + rows.count - rest), rest * row_bytes);
  std::memset(last_tile_.row(rest), 0, (kTileRows - rest) * row_bytes);
}

void TiledProducts::multiply_slice(std::size_t first_output, const InputRows& rows, const Matrix& weight,
                                   bool accumulate, std::span<float> result, Worker& worker) const {
  const std::size_t outputs = std::min(kSliceOutputs, weight.rows() - first_output);
  const ProductShape shape{.m = outputs,
                           .n = kTileRows,
                           .k = weight.columns(),
                           .precision = weight.precision(),
                           .b_transposed = true};
  for (std::size_t first_row = 0; first_row < rows.count; first_row += kTileRows) {
    const std::size_t count = std::min(kTileRows, rows.count - first_row);
    const auto* tile = count == kTileRows ? rows.matrix.row(rows.first + first_row) : last_tile_.data();
    worker.products.multiply(shape, weight.row(first_output), tile, worker.piece.data());
    for (std::size_t row = 0; row < count; ++row) {
      float* target = result.data() + (first_row + row) * weight.rows() + first_output;
      for (std::size_t output = 0; output < outputs; ++output) {
        const float value = worker.piece[output * kTileRows + row];
        target[output] = accumulate ? target[output] + value : value;
      }
    }
  }
}

}  // namespace tessera::kernels
