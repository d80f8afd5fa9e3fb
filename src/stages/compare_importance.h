// Compares two importance matrices of one model.
#pragma once

#include <string>

#include "artifacts/importance_comparison.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::stages {

/// The methods may differ, the tensors of either file too. `second_file` names the second matrix in errors.
/// Throws BadFileError, naming the tensor, when the two disagree about its size: they are of different
/// models.
ImportanceComparison compare_importance(const imatrix::ImatrixFile& first, const imatrix::ImatrixFile& second,
                                        const std::string& second_file);

}  // namespace tessera::stages
