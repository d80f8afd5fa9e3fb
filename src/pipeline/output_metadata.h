// What a quantized file says of itself: the input's metadata, changed where quantization changes it.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "artifacts/importance_matrix.h"
#include "artifacts/plan_document.h"
#include "artifacts/provenance.h"
#include "artifacts/quant_plan.h"
#include "foundation/formats/gguf/metadata.h"

namespace tessera::pipeline {

/// Written by dynamic quantization only: under it anyone can make the file again.
struct DynamicOrigin {
  PlanHeader header;
  std::vector<ProvenanceFile> files;
};

/// What the output was made from.
struct OutputOrigin {
  std::filesystem::path model;
  std::string encoder;
  std::string super_weights = {};  ///< how they are protected, as JSON; empty: not at all
  std::optional<DynamicOrigin> dynamic = std::nullopt;
};

/// `input` without what it says of an earlier quantization, with: general.quantization_version,
/// general.file_type, quantize.imatrix.* as llama-quantize writes them, tessera.source, tessera.version,
/// tessera.encoder, tessera.super_weights, and of a dynamic run tessera.plan (plan_document.h) and
/// tessera.provenance (JSON).
gguf::Metadata output_metadata(const gguf::Metadata& input, const QuantPlan& plan,
                               const PlanImportance& importance, const OutputOrigin& origin);

}  // namespace tessera::pipeline
