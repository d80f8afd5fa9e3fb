// Second moments of what a linear reads over calibration tokens. They say what errors of its weights cost at
// its output: for weights W with the input r of the original model and quantized weights Q with the input x
// of the quantized one,
//
//   mean |W r - Q x|^2 = tr((W - Q) H (W - Q)^T) - 2 tr(W D Q^T) + what does not depend on Q
//
//   H = mean of x x^T,  D = mean of (r - x) x^T
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

struct InputMoments {
  std::size_t columns = 0;         ///< of the linear's weight
  std::uint64_t tokens = 0;        ///< that the means are over
  std::vector<float> second = {};  ///< H, [columns, columns], symmetric
  std::vector<float> drift = {};   ///< D, [columns, columns], row i by column i of r - x; empty where r = x
  /// H of the tokens that D is the mean of, where these are not all.
  std::vector<float> paired_second = {};
};

}  // namespace tessera
