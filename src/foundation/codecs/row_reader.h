// Single rows of a model's tensors as floats, for readers of a few weights here and there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foundation/tensor/weight_source.h"

namespace tessera::codecs {

/// Remembers the row that it read last, so readers of many weights go through them by tensor and row. For one
/// thread.
class RowReader {
 public:
  /// `source` outlives it.
  explicit RowReader(const WeightSource& source) : source_(source) {}

  /// [columns] of a tensor that holds weights, valid until the next call. Throws BadFileError naming tensor,
  /// row and column of a NaN or infinity.
  std::span<const float> row(std::size_t tensor, std::uint64_t row);

 private:
  const WeightSource& source_;
  std::size_t tensor_ = 0;
  std::uint64_t row_ = 0;
  std::vector<float> weights_;  ///< of that row; empty: none was read
  std::vector<std::byte> scratch_;
};

}  // namespace tessera::codecs
