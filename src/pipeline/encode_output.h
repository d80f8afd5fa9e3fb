// The part of a quantization run that writes: every tensor of the plan into the output, plainly or with error
// feedback, with checkpoints.
#pragma once

#include <cstdint>

#include "foundation/formats/gguf/metadata.h"
#include "pipeline/quantize.h"

namespace tessera::pipeline {

struct EncodeOutputJob {
  const QuantizeSettings& settings;
  const TextWalkJob& walks;
  const gguf::Metadata& metadata;
  const PlanProtection& protection;  ///< of weights that are encoded plainly
  std::uint64_t fingerprint;         ///< of everything that decides the output's bytes
};

/// Writes report.plan to the output and fills the report's errors and outcomes. Throws as `quantize`.
void encode_output(const EncodeOutputJob& job, QuantizeReport& report, ProgressObserver& progress,
                   const StopFlag& stop);

}  // namespace tessera::pipeline
