// One worker's products of rows of activations with linears.
#pragma once

#include <span>

#include "foundation/kernels/gemm.h"
#include "foundation/kernels/int8_products.h"
#include "foundation/kernels/tiled_products.h"
#include "model/forward/layer_weights.h"

namespace tessera::model {

class LinearProducts {
 public:
  /// With `tiled`, which outlives this, products are divided among its threads; otherwise the calling thread
  /// computes them whole.
  explicit LinearProducts(kernels::TiledProducts* tiled)
      : tiled_(tiled), int8_(tiled != nullptr ? tiled->threads() : 1) {}

  /// result [rows.count, out] = rows W^T + b, or += where `accumulate`. Rows and a W of
  /// floats have one precision.
  void apply(const Linear& linear, const kernels::InputRows& rows, bool accumulate, std::span<float> result);

  /// For products that are no linear: this thread's.
  kernels::MatrixProducts& own() { return own_; }

 private:
  kernels::TiledProducts* tiled_;
  kernels::MatrixProducts own_;
  kernels::Int8Products int8_;
};

}  // namespace tessera::model
