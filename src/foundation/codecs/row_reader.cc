#include "foundation/codecs/row_reader.h"

#include "foundation/codecs/decode_finite.h"

namespace tessera::codecs {

std::span<const float> RowReader::row(std::size_t tensor, std::uint64_t row) {
  if (!weights_.empty() && tensor == tensor_ && row == row_) return weights_;
  const std::uint64_t columns = source_.tensors()[tensor].columns();
  std::vector<float> weights(columns);
  decode_finite(source_, tensor, row * columns, source_.stored_rows(tensor, {row, 1}, scratch_), weights);
  source_.discard(tensor, {row, 1});
  weights_ = std::move(weights);
  tensor_ = tensor;
  row_ = row;
  return weights_;
}

}  // namespace tessera::codecs
