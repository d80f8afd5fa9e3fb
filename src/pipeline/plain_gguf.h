// Writing a model as a GGUF file in one plain type: what `convert` and `smoothquant` make, never quantized.
#pragma once

#include <filesystem>
#include <vector>

#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/tensor/weight_source.h"
#include "pipeline/hf_folder.h"
#include "stages/encode_tensors.h"

namespace tessera::pipeline {

/// Whether an output of this name is to be a GGUF file, and not a folder.
bool is_gguf_name(const std::filesystem::path& output);

struct PlainGgufSettings {
  std::filesystem::path input;   ///< that the model was opened from: never written over
  std::filesystem::path output;  ///< GGUF file to make
  /// F32, F16 or BF16, of all matrices. Vectors and the routers of experts are F32.
  ElementType type = ElementType::F16;
  gguf::WriteSettings write = {};
  stages::EncodeSettings encode = {};
};

struct PlainGgufReport {
  QuantPlan plan;
  std::vector<WrittenFile> files;
};

/// Writes `weights` with `metadata`, whose general.file_type becomes that of the type. Throws UsageError,
/// BadFileError, IoError or InterruptedError; then nothing is left at the output's place.
PlainGgufReport write_plain_gguf(const WeightSource& weights, gguf::Metadata metadata,
                                 const PlainGgufSettings& settings, ProgressObserver& progress,
                                 const StopFlag& stop);

}  // namespace tessera::pipeline
