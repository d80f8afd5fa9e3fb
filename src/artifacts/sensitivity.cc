#include "artifacts/sensitivity.h"

#include <algorithm>
#include <array>

namespace tessera {
namespace {

constexpr std::array<std::string_view, 3> kMethods = {"fisher", "measured", "prior"};

}  // namespace

std::string_view name_of(SensitivityMethod method) { return kMethods[static_cast<std::size_t>(method)]; }

std::optional<SensitivityMethod> sensitivity_method_from_name(std::string_view name) {
  const auto* const found = std::ranges::find(kMethods, name);
  if (found == kMethods.end()) return std::nullopt;
  return static_cast<SensitivityMethod>(found - kMethods.begin());
}

std::optional<double> loss_of(const Sensitivity& sensitivity, std::string_view tensor, ElementType type) {
  const auto row = std::ranges::find(sensitivity.tensors, tensor, &TensorSensitivity::tensor);
  if (row == sensitivity.tensors.end()) return std::nullopt;
  const auto candidate = std::ranges::find(row->candidates, type, &CandidateLoss::type);
  if (candidate == row->candidates.end()) return std::nullopt;
  return candidate->loss;
}

}  // namespace tessera
