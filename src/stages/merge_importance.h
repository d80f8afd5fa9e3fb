// Joins importance matrices of one model, as if their calibration texts had been one.
#pragma once

#include <span>
#include <string>

#include "foundation/base/progress.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::stages {

struct ImportanceInput {
  std::string file;  ///< path, for messages
  imatrix::ImatrixFile matrix;
};

/// Sums and counts are added, maxima maxed, sensitivities averaged by tokens, data sets joined. A tensor that
/// only some inputs have is taken from those; a statistic that some inputs lack for a tensor is left out,
/// with a warning, for it would stand for less than the counts say. `fisher` of the result lists the
/// diagonals that can be joined the same way (the caller streams them). The chunk size is the first input's;
/// the number of chunks is that of all tokens. Throws UsageError for a mix of the two file forms,
/// BadFileError naming file and tensor when inputs disagree in method or shape or their sum is beyond the
/// numbers of the form. Two or more inputs.
imatrix::ImatrixFile merge_importance(std::span<const ImportanceInput> inputs, ProgressObserver& progress);

}  // namespace tessera::stages
