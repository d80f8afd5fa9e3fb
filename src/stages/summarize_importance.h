// Sums up an importance matrix: where the importance is, how evenly it is spread, what calibration never
// reached.
#pragma once

#include <cstddef>

#include "artifacts/importance_summary.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::stages {

/// `top_columns`: columns listed per tensor at most; equal values in the order of expert and column.
ImportanceSummary summarize_importance(const imatrix::ImatrixFile& matrix, std::size_t top_columns);

}  // namespace tessera::stages
