// Second moments of what a linear reads over calibration tokens. They say what errors of its weights cost at
// its output: for weights W with the input r of the original model and quantized weights Q with the input x
// of the quantized one,
//
//   mean |W r - Q x|^2 = tr(Q H Q^T) - 2 tr(W C Q^T) + what does not depend on Q      H = mean of x x^T
//                                                                                   C = mean of r x^T
//
// which is tr((W - Q) H (W - Q)^T) where r = x.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

struct InputMoments {
  std::size_t columns = 0;         ///< of the linear's weight
  std::uint64_t tokens = 0;        ///< that the means are over
  std::vector<float> second = {};  ///< H, [columns, columns], symmetric
  std::vector<float> cross = {};   ///< C, [columns, columns], row i by r's column i; empty where r = x
};

}  // namespace tessera
