// A plan as a file that a person can edit and give back (`--plan`).
//
// Grammar (YAML; read by config_reader.h):
//
//   tessera_version: "0.1.0"
//   model: "model-f16.gguf"
//   profile: "balanced"
//   target: "2.5 bits per weight"
//   file_bytes: 123456
//   predicted_loss: 0.0123
//   sensitivity: "fisher"
//   encoder: "feedback sweeps=2 damping=0.02 sequential=true"
//   tensors:
//     blk.0.attn_q.weight: Q4_K  # 4.50 bits per weight, 147456 bytes, loss 0.0012
//
// The header says where the plan comes from; nothing of it is needed to read the plan back, and figures in it
// are not those of an edited plan. Sizes are predicted, losses are mean KL divergences in nats per token. The
// list has every tensor that may be quantized, in the order of the model.
//
// Tensors that are never quantized (kept_tensors.h) are left out; one that is listed must have its own type.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/quant_plan.h"
#include "artifacts/sensitivity.h"
#include "artifacts/tensor_rule.h"

namespace tessera {

/// Where a plan comes from. Empty fields are not written.
struct PlanHeader {
  std::string tessera_version = TESSERA_VERSION;
  std::string model = {};
  std::string profile = {};
  std::string target = {};       ///< as text_of(SizeTarget) spells it
  std::uint64_t file_bytes = 0;  ///< predicted, all files together; 0: unknown
  std::optional<double> predicted_loss = std::nullopt;
  std::optional<SensitivityMethod> sensitivity = std::nullopt;
  std::string encoder = {};  ///< that the losses are those of; empty: the plain one

  bool operator==(const PlanHeader&) const = default;
};

struct PlannedType {
  std::string tensor;
  ElementType type = ElementType::F16;
  SourceLine place;
};

/// A plan file, read.
struct PlanDocument {
  PlanHeader header;
  std::vector<PlannedType> tensors;
  SourceLine place;  ///< of the list of tensors
};

std::string to_yaml(const QuantPlan& plan, const PlanHeader& header);

/// Throws BadFileError naming file and line: no YAML, unknown keys, unknown types or none for weights, a
/// tensor that stands twice.
PlanDocument read_plan(const std::filesystem::path& file);
PlanDocument parse_plan(std::string_view text, const std::string& file);

/// The plan for a model of these tensors. Throws BadFileError naming file and line: a tensor that the model
/// has not, one of the model's that is missing, a type whose blocks do not fit the row length, another type
/// for a tensor that is never quantized.
QuantPlan apply_plan(const PlanDocument& document, std::span<const TensorDescriptor> tensors);

}  // namespace tessera
