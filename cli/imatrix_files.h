// tessera imatrix show, compare and merge: what can be done with importance matrices that are there.
#pragma once

#include <CLI/CLI.hpp>

namespace tessera::cli {

/// Adds the three to the command `imatrix`.
void add_imatrix_files(CLI::App& imatrix);

}  // namespace tessera::cli
