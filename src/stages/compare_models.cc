#include "stages/compare_models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/base/printable.h"
#include "foundation/codecs/codec.h"

namespace tessera::stages {
namespace {

/// Rows that are compared at a time hold about this many weights.
constexpr std::uint64_t kChunkWeights = 64 * 1024;

/// A worker's rows of one of the two models.
struct Rows {
  std::vector<std::byte> stored;
  std::vector<float> weights;

  std::span<const float> decode(const WeightSource& source, std::size_t tensor, RowRange range) {
    const auto& descriptor = source.tensors()[tensor];
    const auto bytes = source.stored_rows(tensor, range, stored);
    weights.resize(static_cast<std::size_t>(range.count * descriptor.columns()));
    codecs::codec_for(descriptor.type).decode(bytes, weights);
    source.discard(tensor, range);
    return weights;
  }
};

struct RowPair {
  Rows original;
  Rows quantized;
};

std::size_t counterpart(const WeightSource& original, const WeightSource& quantized,
                        const TensorDescriptor& tensor) {
  const auto found = original.find(tensor.name);
  if (!found) {
    throw BadFileError(
        {.file = quantized.name(), .tensor = printable(tensor.name)},
        fmt::format("{} has no such tensor; it is not this model's original", original.name()));
  }
  const auto& shape = original.tensors()[*found].shape;
  if (shape != tensor.shape) {
    throw BadFileError({.file = quantized.name(), .tensor = printable(tensor.name)},
                       fmt::format("its shape is [{}], in {} it is [{}]; that is not this model's original",
                                   fmt::join(tensor.shape, ", "), original.name(), fmt::join(shape, ", ")));
  }
  return *found;
}

kernels::ErrorSums total(std::span<const kernels::ErrorSums> parts) {
  kernels::ErrorSums sum;
  for (const auto& part : parts) sum += part;
  return sum;
}

}  // namespace

TensorError compare_tensor(const WeightSource& original, const WeightSource& quantized, std::size_t tensor,
                           std::span<const float> importance, int threads) {
  const auto& descriptor = quantized.tensors()[tensor];
  const std::size_t source = counterpart(original, quantized, descriptor);
  const std::uint64_t columns = descriptor.columns();
  const std::uint64_t matrices = descriptor.shape.size() > 2 ? descriptor.shape.front() : 1;
  const std::uint64_t rows = descriptor.rows() / matrices;
  const std::uint64_t step = std::max<std::uint64_t>(1, kChunkWeights / columns);
  const std::uint64_t per_matrix = (rows + step - 1) / step;
  std::vector<kernels::ErrorSums> chunks(static_cast<std::size_t>(matrices * per_matrix));
  std::vector<RowPair> workers(static_cast<std::size_t>(resolve_threads(threads)));
  parallel_for(chunks.size(), threads, [&](std::size_t chunk, int worker) {
    auto& pair = workers[static_cast<std::size_t>(worker)];
    const std::uint64_t matrix = chunk / per_matrix;
    const std::uint64_t first = chunk % per_matrix * step;
    const RowRange range{matrix * rows + first, std::min(step, rows - first)};
    chunks[chunk] = kernels::sum_squared_error(
        pair.original.decode(original, source, range), pair.quantized.decode(quantized, tensor, range),
        columns, importance.empty() ? importance : importance.subspan(matrix * columns, columns));
  });
  TensorError result{.name = descriptor.name,
                     .original_type = original.tensors()[source].type,
                     .quantized_type = descriptor.type,
                     .weights = descriptor.weights(),
                     .error = {total(chunks), !importance.empty()}};
  result.importance_total =
      static_cast<double>(rows) * std::accumulate(importance.begin(), importance.end(), 0.0);
  return result;
}

kernels::ErrorSums compare_states(const model::HiddenStates& original, const model::HiddenStates& quantized,
                                  int threads) {
  std::vector<kernels::ErrorSums> windows(original.windows());
  const std::size_t columns = original.embedding();
  parallel_for(windows.size(), threads, [&](std::size_t window, int) {
    std::vector<float> expected(columns);
    std::vector<float> actual(columns);
    for (std::size_t position = 0; position < original.context(); ++position) {
      original.load(window, position, expected);
      quantized.load(window, position, actual);
      windows[window] += kernels::sum_squared_error(expected, actual, columns, {});
    }
    original.release(window);
    quantized.release(window);
  });
  return total(windows);
}

}  // namespace tessera::stages
