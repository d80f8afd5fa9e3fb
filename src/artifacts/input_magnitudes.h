// How large the columns of a linear's input get over calibration tokens, and some of its rows.
#pragma once

#include <vector>

#include "foundation/kernels/matrix.h"

namespace tessera {

struct InputMagnitudes {
  std::vector<float> maxima = {};  ///< [columns]: largest magnitude, or a percentile
  kernels::Matrix rows = {};       ///< [sampled, columns]
};

}  // namespace tessera
