// The plan of a dynamic quantization: importance -> sensitivities -> allocation at the size asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/importance_matrix.h"
#include "artifacts/quant_config.h"
#include "artifacts/quant_plan.h"
#include "artifacts/sensitivity.h"
#include "artifacts/size_point.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "pipeline/feedback_walk.h"
#include "pipeline/step_times.h"
#include "pipeline/text_walks.h"

namespace tessera::pipeline {

struct DynamicSettings {
  QuantPolicy policy;
  SizeTarget target;
  std::optional<SourceLine> target_place = std::nullopt;  ///< where a file asks for that size
  /// Empty: fisher where there are texts and the forward pass knows the model, else the prior, with a
  /// warning.
  std::optional<SensitivityMethod> sensitivity = std::nullopt;
  std::size_t curve_points = 40;  ///< of the curve of loss against size
};

/// The run around the planner.
struct DynamicJob {
  const TextWalkJob& walks;
  std::optional<std::filesystem::path> imatrix;
  /// Set: tensors are encoded with error feedback, and losses are predicted with that in mind (but those of
  /// the prior, which knows nothing of encoders).
  std::optional<FeedbackSettings> feedback;
  /// Bytes of all files that storing this plan makes.
  std::function<std::uint64_t(const QuantPlan&, const PlanImportance&, SensitivityMethod)> file_bytes;
  std::uint64_t sidecar_bytes = 0;  ///< of a file beside them that counts into the target
};

struct DynamicPlan {
  QuantPlan plan;
  PlanImportance importance;
  Sensitivity sensitivity;
  std::vector<SizePoint> curve;    ///< best allocations from the smallest size to the largest
  std::vector<SizePoint> uniform;  ///< every matrix in one type, where it can take it
  std::vector<StepTime> times;
};

/// Throws UsageError (an unreachable target, a method that needs texts without any), BadFileError, IoError,
/// InterruptedError.
DynamicPlan make_dynamic_plan(const DynamicSettings& settings, const DynamicJob& job,
                              ProgressObserver& progress, const StopFlag& stop);

}  // namespace tessera::pipeline
