// The run behind `tessera quantize`: model in, quantized GGUF out.
//
// open model -> choose types -> match importance -> check -> encode into the sink, with checkpoints ->
// commit. The output appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/encoding_error.h"
#include "artifacts/importance_matrix.h"
#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "model/source/open_model.h"
#include "pipeline/checkpoints.h"
#include "stages/choose_types.h"
#include "stages/encode_tensors.h"

namespace tessera::pipeline {

struct QuantizeSettings {
  std::filesystem::path model;   ///< GGUF file (the first part of a split one) or Hugging Face folder
  std::filesystem::path output;  ///< GGUF file to make
  std::string type;              ///< recipe or tensor type, e.g. "Q4_K_M"; case does not matter
  std::optional<std::filesystem::path> imatrix = std::nullopt;
  model::OpenSettings open = {};
  bool pure = false;  ///< the type itself for every weight matrix, no exceptions for sensitive tensors
  bool leave_output = false;
  bool allow_requantize = false;  ///< accept tensors that already are quantized
  std::optional<ElementType> output_type = std::nullopt;
  std::optional<ElementType> token_embedding_type = std::nullopt;
  std::vector<stages::TensorTypeOverride> overrides = {};
  gguf::WriteSettings write = {};
  stages::EncodeSettings encode = {};
  CheckpointSettings checkpoints = {};
  bool dry_run = false;  ///< plan only: nothing is read but headers, nothing is written
};

struct QuantizeReport {
  std::string model;
  QuantPlan plan;
  PlanImportance importance;
  std::vector<gguf::PlannedFile> files;  ///< what was (or, in a dry run, would be) written, with exact sizes
  std::vector<EncodingError> errors;     ///< by tensor; empty in a dry run
};

/// Throws UsageError, BadFileError or IoError, and then leaves nothing behind; or InterruptedError, and then
/// leaves the partial output and a journal beside its place, from which the same call goes on and ends with
/// the same bytes.
QuantizeReport quantize(const QuantizeSettings& settings, ProgressObserver& progress, const StopFlag& stop);

/// The report for machines: plan, sizes, errors, files.
nlohmann::json to_json(const QuantizeReport& report);

}  // namespace tessera::pipeline
