#include "foundation/kernels/int8_products.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "foundation/base/parallel.h"
#include "foundation/kernels/int8_codes.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::kernels {
namespace {

/// Rows are filled up to whole tiles of the matrix units, so that few shapes are prepared.
constexpr std::size_t kTileRows = 16;

/// As in TiledProducts: less than this is not worth waking threads for.
constexpr std::size_t kLeastSharedBytes = 2 << 20;

std::size_t padded(std::size_t rows) { return (rows + kTileRows - 1) / kTileRows * kTileRows; }

void reserve(AlignedBytes& bytes, std::size_t wanted) {
  if (wanted > bytes.size()) bytes = AlignedBytes(wanted);
}

}  // namespace

Int8Products::Int8Products(int threads)
    : threads_(resolve_threads(threads)), workers_(static_cast<std::size_t>(threads_)) {}

void Int8Products::multiply(const InputRows& rows, const Int8Matrix& weight, bool accumulate,
                            std::span<float> result) {
  assert(rows.matrix.columns() == weight.columns());
  assert(rows.first + rows.count <= rows.matrix.rows());
  assert(result.size() == rows.count * weight.rows());
  quantize(rows, weight);
  const std::size_t slices = (weight.rows() + kSliceOutputs - 1) / kSliceOutputs;
  const std::size_t tiles = padded(rows.count) / kTileRows;
  const int threads = weight.bytes() * tiles < kLeastSharedBytes ? 1 : threads_;
  parallel_for(slices, threads, [&](std::size_t slice, int worker) {
    multiply_slice(slice * kSliceOutputs, weight, accumulate, result,
                   workers_[static_cast<std::size_t>(worker)]);
  });
}

void Int8Products::quantize(const InputRows& rows, const Int8Matrix& weight) {
  const std::size_t columns = weight.columns();
  reserve(codes_, padded(rows.count) * columns);
  const std::span codes(reinterpret_cast<std::int8_t*>(codes_.data()), padded(rows.count) * columns);
  values_.resize(columns);
  scales_.resize(rows.count);
  for (std::size_t row = 0; row < rows.count; ++row) {
    rows.matrix.load(rows.first + row, values_);
    const float own = symmetric_scale(values_);
    const float scale = weight.input_scale() && !std::isnan(own) ? *weight.input_scale() : own;
    quantize_row(values_, scale, row_of(codes, row, columns));
    scales_[row] = scale;
  }
  std::ranges::fill(codes.subspan(rows.count * columns), std::int8_t{0});
}

void Int8Products::multiply_slice(std::size_t first_output, const Int8Matrix& weight, bool accumulate,
                                  std::span<float> result, Worker& worker) const {
  const std::size_t outputs = std::min(kSliceOutputs, weight.rows() - first_output);
  const std::size_t count = scales_.size();
  const std::size_t rows = padded(count);
  const bool few = rows <= kFewRows;
  reserve(worker.sums, rows * outputs * sizeof(std::int32_t));
  auto* sums = reinterpret_cast<std::int32_t*>(worker.sums.data());
  const auto* inputs = reinterpret_cast<const std::int8_t*>(codes_.data());
  const auto* weights = weight.row(first_output);
  if (few) {
    worker.products.multiply({outputs, rows, weight.columns()}, weights, inputs, sums);
  } else {
    worker.products.multiply({rows, outputs, weight.columns()}, inputs, weights, sums);
  }
  worker.row.resize(outputs);
  for (std::size_t row = 0; row < count; ++row) {
    std::span<const std::int32_t> of_row(sums + row * outputs, outputs);
    if (few) {
      for (std::size_t output = 0; output < outputs; ++output) worker.row[output] = sums[output * rows + row];
      of_row = worker.row;
    }
    scale_sums(of_row, scales_[row], weight.scales().subspan(first_output, outputs), accumulate,
               result.subspan(row * weight.rows() + first_output, outputs));
  }
}

}  // namespace tessera::kernels
