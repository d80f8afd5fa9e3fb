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
#include "foundation/codecs/encoder.h"
#include "foundation/kernels/matrix.h"
#include "model/source/open_model.h"
#include "model/text/corpus.h"
#include "pipeline/step_times.h"

namespace tessera::pipeline {

struct DynamicSettings {
  QuantPolicy policy;
  SizeTarget target;
  std::optional<SourceLine> target_place = std::nullopt;  ///< where a file asks for that size
  /// Empty: fisher where there are texts and the forward pass knows the model, else the prior, with a warning.
  std::optional<SensitivityMethod> sensitivity = std::nullopt;
  /// Texts from which importance (when no importance matrix is given) and sensitivities are computed. No
  /// files: neither is.
  model::CorpusSettings corpus = {};
  /// Windows of the texts that sensitivities are taken from; as many as there are when fewer.
  std::uint32_t sensitivity_samples = 64;
  std::uint32_t measured_samples = 8;  ///< the same for the method measured
  std::uint64_t seed = 0;              ///< of sampled labels and rows
  /// Of the operands of matrix products; empty: the fastest of this machine.
  std::optional<kernels::Precision> precision = std::nullopt;
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;  ///< hidden states beyond this go to a scratch file
  std::filesystem::path scratch_folder = {};
  /// Folder in which finished layers of the walks are kept; empty: none are by make_dynamic_plan, and those of
  /// quantize in OUTPUT.work until the output is there.
  std::optional<std::filesystem::path> checkpoint = std::nullopt;
  bool use_cache = true;          ///< of importance and sensitivities
  std::size_t curve_points = 40;  ///< of the curve of loss against size
};

/// What the planner needs to know of the run around it.
struct DynamicJob {
  const std::filesystem::path& path;  ///< of the model, as given
  const model::OpenedModel& model;
  const model::OpenSettings& open;
  std::optional<std::filesystem::path> imatrix;
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;
  int threads = 0;
  /// Bytes of all files that storing this plan makes.
  std::function<std::uint64_t(const QuantPlan&, const PlanImportance&, SensitivityMethod)> file_bytes;
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
