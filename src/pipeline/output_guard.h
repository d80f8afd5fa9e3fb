// Keeps a run from writing over what it reads.
#pragma once

#include <filesystem>
#include <vector>

namespace tessera::pipeline {

/// All files that opening `model` reads: the file, every part of a split GGUF model, the files of a folder,
/// sorted.
std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& model);

/// Throws UsageError when an output (or its temporary file) is one of the inputs, under whatever name.
void refuse_writing_over_inputs(const std::vector<std::filesystem::path>& outputs,
                                const std::vector<std::filesystem::path>& inputs);

}  // namespace tessera::pipeline
