// The factor of a Hessian with as much damping as it takes.
#pragma once

#include <cstddef>
#include <vector>

#include "foundation/kernels/upper_factor.h"

namespace tessera::codecs {

struct DampedFactor {
  kernels::UpperFactor factor;
  double damping = 0;  ///< the share of the mean diagonal that was used
  double added = 0;    ///< what it came to, added to every element of the diagonal
};

/// Damps `hessian`, symmetric and positive semidefinite, [columns, columns], and factors it on `threads`
/// threads (0: all cores). `damping` >= 0, as a share of its mean diagonal, is added to the diagonal; ten
/// times as much, and at least 1e-6, as long as the factorisation fails. A mean below 1e-30, where float32
/// ends to be exact, counts as 1: every error costs the same. Throws Error for a NaN or infinite element, and
/// when a damping of 1000 is not enough: the matrix was not positive semidefinite then.
DampedFactor factor_damped(std::vector<float>& hessian, std::size_t columns, double damping, int threads);

}  // namespace tessera::codecs
