// Types and importance of every tensor, in one of three ways: a recipe's, chosen dynamically, or from a saved
// plan.
#pragma once

#include <span>

#include "pipeline/output_metadata.h"
#include "pipeline/quantize.h"

namespace tessera::pipeline {

/// The run that a plan is made for.
struct PlanJob {
  const QuantizeSettings& settings;
  const TextWalkJob& walks;
  Protection* protection;  ///< or nullptr
  ProgressObserver& progress;
  const StopFlag& stop;

  std::span<const TensorDescriptor> tensors() const { return walks.model.weights->tensors(); }
};

/// Fills plan, importance, header, settings, times and, of a dynamic plan, what it was chosen from. Of the
/// report, provenance is there already. Throws UsageError, BadFileError, IoError, InterruptedError.
void make_plan(const PlanJob& job, QuantizeReport& report);

/// For the output's metadata.
OutputOrigin origin_of(const PlanJob& job, std::optional<DynamicOrigin> dynamic);

/// What encodes, as reports and metadata say it.
std::string encoder_text(const QuantizeSettings& settings, const model::OpenedModel& model);

/// Of all files together.
std::uint64_t bytes_of(const std::vector<gguf::PlannedFile>& files);

}  // namespace tessera::pipeline
