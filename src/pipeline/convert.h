// The run behind `tessera convert`: a Hugging Face folder in, a GGUF file of the same model out.
//
// open folder -> check -> encode matrices in one plain type -> commit. Vectors are F32. Metadata, tensors and
// their order are those of llama.cpp's converter (docs/convert.md lists what differs).
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
#include "stages/encode_tensors.h"

namespace tessera::pipeline {

struct ConvertSettings {
  std::filesystem::path model;   ///< Hugging Face folder
  std::filesystem::path output;  ///< GGUF file to make
  /// F32, F16 or BF16; empty: the 16-bit type in which the model is stored (model::plain_type_of).
  std::optional<ElementType> type = std::nullopt;
  model::OpenSettings open = {};
  gguf::WriteSettings write = {};
  stages::EncodeSettings encode = {};
};

struct ConvertReport {
  std::string architecture;  ///< general.architecture
  ElementType type = ElementType::F16;
  QuantPlan plan;
  std::vector<gguf::PlannedFile> files;  ///< what was written, with exact sizes
};

/// Throws UsageError, BadFileError, IoError or InterruptedError; then nothing is left at the output's place.
ConvertReport convert(const ConvertSettings& settings, ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
