// The run behind `tessera imatrix MODEL`: model and texts in, importance matrix out; and what the run shares
// with the tools around such files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/kernels/matrix.h"
#include "model/source/open_model.h"
#include "model/text/corpus.h"
#include "pipeline/file_hashes.h"
#include "pipeline/layer_checkpoint.h"

namespace tessera::pipeline {

using imatrix::ImportanceMethod;

struct ImatrixSettings {
  std::filesystem::path model;   ///< GGUF file (the first part of a split one) or Hugging Face folder
  std::filesystem::path output;  ///< file to make: the old form when it ends in .dat, else GGUF
  model::OpenSettings open = {};
  model::CorpusSettings corpus = {};
  ImportanceMethod method = ImportanceMethod::activation;
  /// Folder in which finished layers are kept, so that a killed run can go on; empty: none are.
  std::optional<std::filesystem::path> checkpoint = std::nullopt;
  bool use_cache = true;        ///< look for the result of an equal run, and keep this one's
  bool process_output = false;  ///< statistics for output.weight, too
  /// Keep the Fisher diagonal of every weight, which makes the output as large as the model in BF16. Only
  /// with the method fisher.
  bool per_weight_fisher = false;
  /// Of the operands of matrix products; empty: the fastest of this machine.
  std::optional<kernels::Precision> precision = std::nullopt;
  int threads = 0;                                      ///< 0: all cores
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;  ///< hidden states beyond this go to a scratch file
  std::filesystem::path scratch_folder = {};
};

struct ImatrixReport {
  std::filesystem::path output;
  imatrix::ImatrixFile matrix;  ///< what was written
  bool from_cache = false;      ///< nothing was computed: an equal run was before
};

/// Throws UsageError, BadFileError or IoError, and then leaves nothing behind but the checkpoint; or
/// InterruptedError, and with a checkpoint the same call then goes on after the last finished layer and ends
/// with the same bytes.
ImatrixReport make_imatrix(const ImatrixSettings& settings, ProgressObserver& progress, const StopFlag& stop);

/// What decides the bytes of the result, but for Tessera's version (docs/imatrix.md): the content of the
/// model's and the texts' files, and every option that matters. Throws BadFileError for files that cannot be
/// read, InterruptedError.
CheckpointIdentity identity_of(const ImatrixSettings& settings, FileHashes& hashes);

/// 32 hexadecimal digits: the parts of a GGUF model by their content, so that it may be renamed; the files of
/// a folder with their names, which say what they are. Throws BadFileError, InterruptedError.
std::string hash_of_model(const std::filesystem::path& model, FileHashes& hashes);

/// The key of the result of this run, by this version of Tessera, in the cache. It stands for the GGUF form.
ContentHash result_key(const CheckpointIdentity& identity);

imatrix::Provenance provenance_of(const CheckpointIdentity& identity);

/// Whether `output` asks for the old form: it ends in ".dat".
bool is_legacy_output(const std::filesystem::path& output);

/// Writes an importance matrix without Fisher diagonals (`matrix.fisher` is empty) in the form that the
/// ending of `output` asks for; what the old form has no place for is left out, with a note. Throws
/// UsageError when `output` is one of `inputs` or cannot be written there, IoError.
void write_importance(const std::filesystem::path& output, const imatrix::ImatrixFile& matrix,
                      std::span<const std::filesystem::path> inputs, ProgressObserver& progress);

}  // namespace tessera::pipeline
