// The runs behind `tessera imatrix show`, `compare` and `merge`.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "artifacts/importance_comparison.h"
#include "artifacts/importance_summary.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::pipeline {

/// A file with what it was made from and its figures.
struct ImportanceDescription {
  std::string path;
  imatrix::ImatrixFile matrix;
  ImportanceSummary summary;
};

/// `top_columns` per tensor are listed. Throws BadFileError.
ImportanceDescription show_importance(const std::filesystem::path& path, std::size_t top_columns);

nlohmann::json to_json(const ImportanceDescription& description);

/// Throws BadFileError, also when the two are of different models.
ImportanceComparison compare_importance_files(const std::filesystem::path& first,
                                              const std::filesystem::path& second);

/// Joins two or more files as stages::merge_importance does, Fisher diagonals row by row, and writes the
/// result in the form that the ending of `output` asks for. Returns what was written. Throws UsageError
/// (fewer than two inputs, an output that is an input), BadFileError, IoError or InterruptedError, and leaves
/// nothing behind then.
imatrix::ImatrixFile merge_importance_files(const std::vector<std::filesystem::path>& inputs,
                                            const std::filesystem::path& output, ProgressObserver& progress,
                                            const StopFlag& stop);

}  // namespace tessera::pipeline
