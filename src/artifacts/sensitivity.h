// How much a model's predictions suffer when one of its tensors alone is stored in a smaller type.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/tensor/element_type.h"

namespace tessera {

/// Where the figures come from (docs/dynamic.md).
enum class SensitivityMethod {
  fisher,    ///< second-order estimate from one backward pass with labels that the model itself gives
  measured,  ///< each tensor alone at a probe type, walked through the model
  prior,     ///< role and depth alone
};

std::string_view name_of(SensitivityMethod method);
std::optional<SensitivityMethod> sensitivity_method_from_name(std::string_view name);

struct CandidateLoss {
  ElementType type = ElementType::F16;
  double loss = 0;  ///< predicted mean KL divergence, nats per token, with this tensor alone in this type
};

struct TensorSensitivity {
  std::string tensor;
  std::vector<CandidateLoss> candidates;  ///< in order of bits per weight
};

struct Sensitivity {
  SensitivityMethod method = SensitivityMethod::fisher;
  std::vector<TensorSensitivity> tensors;
  bool with_feedback = false;  ///< losses are those of error feedback, not of the plain encoder
};

/// The loss of this tensor in this type, where the sensitivity knows it.
std::optional<double> loss_of(const Sensitivity& sensitivity, std::string_view tensor, ElementType type);

}  // namespace tessera
