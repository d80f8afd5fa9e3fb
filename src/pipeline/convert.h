// The run behind `tessera convert`: the same model in another form.
//
// A Hugging Face folder becomes a GGUF file: open folder -> check -> encode matrices in one plain type ->
// commit. Vectors are F32. Metadata, tensors and their order are those of llama.cpp's converter
// (docs/convert.md lists what differs). A GGUF file, or a folder again, becomes a folder (hf_folder.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "model/source/open_model.h"
#include "pipeline/hf_folder.h"
#include "stages/encode_tensors.h"

namespace tessera::pipeline {

struct ConvertSettings {
  std::filesystem::path model;   ///< Hugging Face folder or GGUF file
  std::filesystem::path output;  ///< GGUF file to make, or folder when the name does not end in ".gguf"
  /// F32, F16 or BF16; empty: of a GGUF file, the 16-bit type in which the model is stored
  /// (model::plain_type_of); of a folder, what HfFolderSettings::type says.
  std::optional<ElementType> type = std::nullopt;
  model::OpenSettings open = {};
  gguf::WriteSettings write = {};
  /// HfFolderSettings::shard_max_bytes.
  std::uint64_t shard_max_bytes = kShardMaxBytes;
  stages::EncodeSettings encode = {};
};

struct ConvertReport {
  std::string architecture;  ///< general.architecture
  ElementType type = ElementType::F16;
  QuantPlan plan;
  std::vector<WrittenFile> files;
};

/// Throws UsageError (also for a GGUF file as input and output), BadFileError, IoError or InterruptedError;
/// then nothing is left at the output's place.
ConvertReport convert(const ConvertSettings& settings, ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
