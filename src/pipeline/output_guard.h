// Keeps a run from writing over what it reads, and from finding out after hours that a file is not there.
#pragma once

#include <filesystem>
#include <vector>

namespace tessera::pipeline {

/// All files that opening `model` reads: the file, every part of a split GGUF model, the files directly in a
/// folder, sorted.
std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& model);

/// Those of them that decide what the model is: of a folder, weights in forms that are never read are left
/// out.
std::vector<std::filesystem::path> files_that_decide(const std::filesystem::path& model);

/// Throws UsageError when an output (or its temporary file) is one of the inputs, under whatever name.
void refuse_writing_over_inputs(const std::vector<std::filesystem::path>& outputs,
                                const std::vector<std::filesystem::path>& inputs);

/// Throws BadFileError for the first that is no file.
void require_files(const std::vector<std::filesystem::path>& inputs);

/// Throws UsageError when the folder of `output` does not exist or cannot be written to.
void require_writable_folder(const std::filesystem::path& output);

}  // namespace tessera::pipeline
