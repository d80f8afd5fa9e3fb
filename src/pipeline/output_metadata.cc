#include "pipeline/output_metadata.h"

#include <array>

namespace tessera::pipeline {
namespace {

/// general.quantization_version: the layout of today's blocks.
constexpr std::uint32_t kQuantizationVersion = 2;

constexpr std::array kStaleKeys = {"quantize.imatrix.file",
                                   "quantize.imatrix.dataset",
                                   "quantize.imatrix.entries_count",
                                   "quantize.imatrix.chunks_count",
                                   "tessera.super_weights",
                                   "tessera.plan",
                                   "tessera.provenance"};

void set_importance(const ImportanceOrigin& origin, gguf::Metadata& metadata) {
  metadata.set("quantize.imatrix.file", origin.file);
  if (!origin.datasets.empty()) metadata.set("quantize.imatrix.dataset", origin.datasets.front());
  metadata.set("quantize.imatrix.entries_count", origin.entry_count);
  if (origin.chunk_count > 0) metadata.set("quantize.imatrix.chunks_count", origin.chunk_count);
}

}  // namespace

gguf::Metadata output_metadata(const gguf::Metadata& input, const QuantPlan& plan,
                               const PlanImportance& importance, const OutputOrigin& origin) {
  gguf::Metadata metadata = input;
  for (const char* key : kStaleKeys) metadata.erase(key);
  metadata.set("general.quantization_version", kQuantizationVersion);
  metadata.set("general.file_type", plan.file_type);
  if (importance.origin) set_importance(*importance.origin, metadata);
  const auto& model = origin.model;
  const auto source = model.filename().empty() ? model.parent_path() : model;
  metadata.set("tessera.source", source.filename().string());
  metadata.set("tessera.version", std::string(TESSERA_VERSION));
  metadata.set("tessera.encoder", origin.encoder);
  if (!origin.super_weights.empty()) metadata.set("tessera.super_weights", origin.super_weights);
  if (origin.dynamic) {
    metadata.set("tessera.plan", to_yaml(plan, origin.dynamic->header));
    metadata.set("tessera.provenance", to_json(origin.dynamic->files, PathForm::name_only).dump());
  }
  return metadata;
}

}  // namespace tessera::pipeline
