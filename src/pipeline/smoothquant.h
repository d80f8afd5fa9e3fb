// The run behind `tessera smoothquant`: a model in, the same model with activation outliers moved into its
// weights out, in its own precision or as W8A8 (SmoothQuant, arXiv 2211.10438).
//
// open model -> one walk over the texts (smoothing_walk.h) -> write, smoothing and rounding rows as they pass
// -> evaluate. The output appears whole or not at all; a run that was stopped or killed goes on after the
// last finished layer of the walk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/evaluation.h"
#include "artifacts/provenance.h"
#include "artifacts/smoothing_plan.h"
#include "pipeline/smoothing_walk.h"
#include "pipeline/step_times.h"

namespace tessera::pipeline {

struct SmoothQuantSettings {
  /// What is written.
  enum class Output {
    smoothed,  ///< the smoothed model in its own precision and form: a folder, or a GGUF file
    w8a8,      ///< a Hugging Face folder in the compressed-tensors form int-quantized
  };

  std::filesystem::path model;   ///< GGUF file (the first part of a split one) or Hugging Face folder
  std::filesystem::path output;  ///< folder that does not exist or is empty; GGUF file where it ends in .gguf
  Output form = Output::w8a8;
  /// Of floats in the output: F32, F16 or BF16; empty: the type in which most of the model is stored.
  std::optional<ElementType> type = std::nullopt;
  model::OpenSettings open = {};
  TextWalkSettings walks = {};
  SmoothingWalkSettings smoothing = {};
  int threads = 0;  ///< 0: all cores
  /// Evaluate original, smoothed and both W8A8 models on these texts; no files: do not.
  model::CorpusSettings evaluation = {};
};

/// Against the original, on the texts for evaluation.
struct SmoothQuantEvaluations {
  Evaluation smoothed;
  Evaluation naive_w8a8;
  Evaluation smoothed_w8a8;
};

struct SmoothQuantReport {
  std::string model;
  std::filesystem::path output;
  SmoothQuantSettings::Output form = SmoothQuantSettings::Output::w8a8;
  ElementType type = ElementType::F16;  ///< of floats in the output
  /// That a reader of the report wants to see, by name.
  std::map<std::string, nlohmann::json> settings;
  SmoothingPlan plan;
  std::uint64_t bytes = 0;  ///< of all files of the output
  std::vector<ProvenanceFile> provenance;
  std::optional<SmoothQuantEvaluations> evaluations;
  std::vector<StepTime> times;
};

/// How options and reports call the form.
std::string_view name_of(SmoothQuantSettings::Output form);

/// Refuses names of further files to write: inputs of the run, and places where nothing can be written.
/// Throws UsageError.
void check_other_outputs(const SmoothQuantSettings& settings,
                         const std::vector<std::filesystem::path>& outputs);

/// Throws UsageError, BadFileError, IoError or InterruptedError; then nothing is left at the output's place,
/// and what the walk has finished in OUTPUT.work.
SmoothQuantReport smoothquant(const SmoothQuantSettings& settings, ProgressObserver& progress,
                              const StopFlag& stop);

}  // namespace tessera::pipeline
