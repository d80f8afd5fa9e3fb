// Statistics of gradients are products dY^T X, one row per output of a linear. The outputs are divided into
// blocks, so that all cores share the work of a layer and a product's result stays small.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "foundation/kernels/gemm.h"
#include "model/forward/gradient_observer.h"

namespace tessera::model {

struct GradientStatisticsSettings {
  kernels::Precision precision = kernels::Precision::f32;  ///< of the matrices that are observed
  int threads = 0;                                         ///< 0: all cores
};

/// Some outputs of a linear. `first` counts from the first output of `gradients`.
struct OutputBlock {
  const LinearGradients* gradients = nullptr;
  std::size_t first = 0;
  std::size_t rows = 0;

  /// Row of the weight.
  std::size_t weight_row() const { return gradients->first_output + first; }
  /// Number of the block among all of the weight.
  std::size_t index() const;
};

/// Divides all linears; blocks lie the same whatever part of a linear's outputs comes at a time, provided
/// that parts begin at multiples of 512.
std::vector<OutputBlock> output_blocks(std::span<const LinearGradients> linears);

/// Number of blocks of the whole weight.
std::size_t count_blocks(const Linear& linear);

/// One worker's products.
class BlockProducts {
 public:
  explicit BlockProducts(kernels::Precision precision) : precision_(precision) {}

  /// result [block.rows, in] = (or +=) columns of `output_gradient` that the block names, transposed, times
  /// `input`; both are of one window.
  void multiply(const OutputBlock& block, const kernels::Matrix& output_gradient,
                const kernels::Matrix& input, bool accumulate, std::span<float> result);

 private:
  kernels::Precision precision_;
  kernels::MatrixProducts products_;
  kernels::Matrix columns_;  ///< [tokens, block.rows]
};

}  // namespace tessera::model
