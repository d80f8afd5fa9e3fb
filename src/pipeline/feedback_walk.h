// Encoding with error feedback: one walk over the model, one layer resident, every linear encoded from the
// moments of its input as soon as they are known, and from then on quantized for those that come after.
//
// After a layer (or several, when they are quick) its tensors are durable in the output, and `checkpoint`
// holds both residual streams ("reference", "replaced") and what was reported so far ("outcomes"): a run that
// goes on from there ends with the same bytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/feedback_outcome.h"
#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/tensor/tensor_sink.h"
#include "pipeline/step_times.h"
#include "pipeline/text_walk_job.h"
#include "pipeline/walk_checkpoint.h"
#include "stages/encode_feedback.h"

namespace tessera::pipeline {

struct FeedbackSettings {
  int sweeps = 2;          ///< of coordinate descent
  double damping = 0.02;   ///< share of the Hessian's mean diagonal
  bool sequential = true;  ///< later linears correct for the errors of earlier ones
  /// Experts of a mixture that fewer tokens pass, for each column of an input, than this are encoded with the
  /// moments of all experts of the layer. Chosen by bench/expert_threshold.py.
  double expert_tokens = 1;
  /// Every input's moments are kept here, a GGUF file each; empty: nowhere.
  std::optional<std::filesystem::path> keep_hessians = std::nullopt;
};

/// The settings that matter to the model as one line, for reports, metadata and fingerprints.
std::string text_of(const FeedbackSettings& settings, const model::OpenedModel& model);

/// Whether the walk reads this tensor's input: matrices of the layers, those of experts too, and an output of
/// its own.
bool is_reached_by_feedback(const TensorDescriptor& tensor);

/// Tensors that the walk encodes, by index in the plan: those that it reaches, where the plan gives them a
/// block format.
std::vector<bool> feedback_tensors(const QuantPlan& plan);

/// What the settings mean for encoding.
stages::FeedbackEncodeSettings encode_settings(const TextWalkJob& job, const FeedbackSettings& settings);

struct FeedbackJob {
  const TextWalkJob& walks;
  const QuantPlan& plan;
  TensorSink& sink;
  WalkCheckpoint& checkpoint;
  /// Least time between two checkpoints: a killed run repeats at most this much work and a layer.
  std::chrono::milliseconds checkpoint_interval;
  std::function<void(std::size_t tensor, const FeedbackOutcome& outcome)> tensor_done;
  std::function<void()> layer_done;  ///< before a checkpoint: makes the tensors so far durable
  std::vector<StepTime>& times;      ///< gets the parts of the walk
};

/// Outcomes by index in the plan. Throws UsageError, BadFileError, IoError, InterruptedError.
FeedbackOutcomes encode_with_feedback(const FeedbackJob& job, const FeedbackSettings& settings,
                                      ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
