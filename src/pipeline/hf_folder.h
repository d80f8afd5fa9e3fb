// Writing a model as a Hugging Face folder: weights in safetensors files, and everything else that
// transformers and vLLM want beside them.
//
// What is not weights comes from the input. A Hugging Face folder's other files are carried over as they are:
// config.json (with what changed), tokenizer files, generation_config.json, chat templates, the model card,
// licences. Left out are weights in any form, hidden files and folders inside. Of a GGUF file they are made
// from its metadata (hf_config.h, hf_tokenizer.h).
//
// Weights pass through a few rows at a time, and the folder appears when it is complete.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/json/json_object.h"
#include "foundation/tensor/weight_source.h"
#include "model/source/open_model.h"
#include "stages/encode_tensors.h"

namespace tessera::pipeline {

/// Largest size of one weight file in bytes, as transformers has it.
inline constexpr std::uint64_t kShardMaxBytes = 5'000'000'000;

struct HfFolderSettings {
  std::filesystem::path input;   ///< Hugging Face folder or GGUF file that the model was opened from
  std::filesystem::path output;  ///< folder to make; it does not exist yet, or is empty
  /// F32, F16 or BF16 for all weights but 8-bit linears, and for their scales. Empty:
  /// own_type_of the weights.
  std::optional<ElementType> type = std::nullopt;
  /// Largest size of one weight file in bytes; 0: a single file.
  std::uint64_t shard_max_bytes = kShardMaxBytes;
  /// "quantization_config" of config.json; null: none, but one of the input stays when its 8-bit linears do.
  json::Value quantization_config = nullptr;
  stages::EncodeSettings encode = {};
};

/// F32 when no matrix is stored in 16 bits, else the 16-bit type of model::plain_type_of. Throws UsageError
/// where matrices are quantized.
ElementType own_type_of(const WeightSource& weights);

struct WrittenFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};

struct HfFolderReport {
  ElementType type = ElementType::F16;
  QuantPlan plan;                  ///< tensors under Hugging Face names
  std::vector<WrittenFile> files;  ///< sorted by name
};

/// Refuses before any work what write_hf_folder would: weights, metadata or a tokenizer that a folder cannot
/// hold. Throws BadFileError.
void check_hf_folder(const WeightSource& weights, const model::OpenedModel& model,
                     const std::filesystem::path& input);

/// Writes `weights` (GGUF names, perhaps changed since) and what `model` and its input say besides. Throws
/// UsageError (an output that is not free, or that is the input; quantized blocks without a type),
/// BadFileError, IoError or InterruptedError; then nothing is left at the output's place.
HfFolderReport write_hf_folder(const WeightSource& weights, const model::OpenedModel& model,
                               const HfFolderSettings& settings, ProgressObserver& progress,
                               const StopFlag& stop);

}  // namespace tessera::pipeline
