#include "model/forward/linear_products.h"

#include "foundation/kernels/vector_math.h"

namespace tessera::model {

void LinearProducts::apply(const Linear& linear, const kernels::InputRows& rows, bool accumulate,
                           std::span<float> result) {
  if (linear.int8_weight) {
    int8_.multiply(rows, *linear.int8_weight, accumulate, result);
  } else if (tiled_ != nullptr) {
    tiled_->multiply(rows, linear.weight, accumulate, result);
  } else {
    own_.multiply({.m = rows.count,
                   .n = linear.outputs(),
                   .k = linear.inputs(),
                   .precision = linear.weight.precision(),
                   .b_transposed = true,
                   .accumulate = accumulate},
                  rows.matrix.row(rows.first), linear.weight.data(), result.data());
  }
  if (!linear.bias.empty()) kernels::add_to_rows(linear.bias, result);
}

}  // namespace tessera::model
