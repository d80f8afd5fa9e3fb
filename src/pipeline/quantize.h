// The run behind `tessera quantize`: model in, quantized GGUF out.
//
// open model -> plan (a recipe's types, dynamic allocation, or a plan that was saved) -> importance -> check
// -> encode into the sink, with checkpoints -> commit -> evaluate. The output appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/encoding_error.h"
#include "artifacts/evaluation.h"
#include "artifacts/importance_matrix.h"
#include "artifacts/plan_document.h"
#include "artifacts/provenance.h"
#include "artifacts/quant_plan.h"
#include "artifacts/sensitivity.h"
#include "artifacts/size_point.h"
#include "artifacts/super_weight_coverage.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "model/source/open_model.h"
#include "pipeline/checkpoints.h"
#include "pipeline/dynamic_plan.h"
#include "pipeline/feedback_walk.h"
#include "pipeline/protection.h"
#include "pipeline/step_times.h"
#include "pipeline/text_walks.h"
#include "stages/choose_types.h"
#include "stages/encode_tensors.h"

namespace tessera::pipeline {

struct QuantizeSettings {
  std::filesystem::path model;   ///< GGUF file (the first part of a split one) or Hugging Face folder
  std::filesystem::path output;  ///< GGUF file to make
  /// Recipe or tensor type, e.g. "Q4_K_M"; case does not matter. One of type, dynamic and plan_file is set.
  std::string type = {};
  std::optional<DynamicSettings> dynamic = std::nullopt;          ///< every tensor at the precision it needs
  std::optional<std::filesystem::path> plan_file = std::nullopt;  ///< a saved plan (plan_document.h)
  std::optional<std::filesystem::path> imatrix = std::nullopt;
  model::OpenSettings open = {};
  /// Texts that importance is computed from when no importance matrix is given, and sensitivities. Finished
  /// layers are kept in OUTPUT.work until the output is there, unless `walks` names a folder.
  TextWalkSettings walks = {};
  bool pure = false;  ///< the type itself for every weight matrix, no exceptions for sensitive tensors
  bool leave_output = false;
  bool allow_requantize = false;  ///< accept tensors that already are quantized
  std::optional<ElementType> output_type = std::nullopt;
  std::optional<ElementType> token_embedding_type = std::nullopt;
  std::vector<stages::TensorTypeOverride> overrides = {};
  gguf::WriteSettings write = {};
  stages::EncodeSettings encode = {};
  /// Set: the matrices that texts walk through are encoded with error feedback.
  std::optional<FeedbackSettings> feedback = std::nullopt;
  /// Set: super weights are found, or read, and protected.
  std::optional<ProtectionSettings> protection = std::nullopt;
  CheckpointSettings checkpoints = {};
  bool dry_run = false;  ///< plan only: nothing is written, and without `dynamic` nothing read but headers
  /// Evaluate the output on these texts, against the model; no files: do not.
  model::CorpusSettings evaluation = {};
  /// Hash all inputs for the report.
  bool wants_provenance = false;
  std::optional<std::filesystem::path> config_file =
      std::nullopt;  ///< where `dynamic` comes from, for the report
};

/// What a dynamic plan was chosen from.
struct DynamicReport {
  Sensitivity sensitivity;
  std::vector<SizePoint> curve;    ///< best allocations from the smallest size to the largest
  std::vector<SizePoint> uniform;  ///< every matrix in one type
};

struct QuantizeReport {
  std::string model;
  QuantPlan plan;
  PlanImportance importance;
  std::vector<gguf::PlannedFile> files;  ///< what was (or, in a dry run, would be) written, with exact sizes
  std::vector<EncodingError> errors;     ///< by tensor; empty in a dry run
  FeedbackOutcomes feedback;             ///< by tensor that was encoded with error feedback
  /// Settings that a reader of the report wants to see, by name.
  std::map<std::string, nlohmann::json> settings;
  PlanHeader header;  ///< of the plan when it is saved
  std::optional<DynamicReport> dynamic;
  std::optional<SuperWeightCoverage> super_weights;
  std::vector<ProvenanceFile> provenance;
  std::optional<Evaluation> evaluation;
  std::vector<StepTime> times;
};

/// Refuses names of files to write, the output's or a report's: inputs of the run, and places where nothing
/// can be written. Throws UsageError.
void check_outputs(const QuantizeSettings& settings, const std::vector<std::filesystem::path>& outputs);

/// Throws UsageError, BadFileError or IoError, and then leaves nothing behind; or InterruptedError, and then
/// leaves the partial output and a journal beside its place, from which the same call goes on and ends with
/// the same bytes.
QuantizeReport quantize(const QuantizeSettings& settings, ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
