#include "model/forward/gradient_blocks.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tessera::model {
namespace {

constexpr std::size_t kBlockRows = 512;

}  // namespace

std::size_t OutputBlock::index() const {
  assert(weight_row() % kBlockRows == 0);
  return weight_row() / kBlockRows;
}

std::vector<OutputBlock> output_blocks(std::span<const LinearGradients> linears) {
  std::vector<OutputBlock> blocks;
  for (const auto& gradients : linears) {
    const std::size_t outputs = gradients.outputs();
    for (std::size_t first = 0; first < outputs; first += kBlockRows)
      blocks.push_back({&gradients, first, std::min(kBlockRows, outputs - first)});
  }
  return blocks;
}

std::size_t count_blocks(const Linear& linear) { return (linear.outputs() + kBlockRows - 1) / kBlockRows; }

void BlockProducts::multiply(const OutputBlock& block, const kernels::Matrix& output_gradient,
                             const kernels::Matrix& input, bool accumulate, std::span<float> result) {
  const std::size_t tokens = input.rows();
  assert(output_gradient.rows() == tokens && result.size() == block.rows * input.columns());
  if (columns_.rows() != tokens || columns_.columns() != block.rows)
    columns_ = kernels::Matrix(precision_, tokens, block.rows);
  const std::size_t element = kernels::element_bytes(precision_);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::memcpy(columns_.row(t), output_gradient.row(t) + block.first * element, block.rows * element);
  }
  products_.multiply({.m = block.rows,
                      .n = input.columns(),
                      .k = tokens,
                      .precision = precision_,
                      .a_transposed = true,
                      .accumulate = accumulate},
                     columns_.data(), input.data(), result.data());
}

}  // namespace tessera::model
