// How a quantization treats super weights (super_weight.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

namespace tessera {

enum class ProtectionMethod {
  block,    ///< encoded with more care, in the bytes of their block (foundation/codecs/protected_block.h)
  tensor,   ///< the tensors that hold the most important ones get a type of 8 bits or more
  sidecar,  ///< their exact values in a file beside the model (artifacts/sidecar.h)
};

/// "block", "tensor", "sidecar".
std::string_view name_of(ProtectionMethod method);
std::optional<ProtectionMethod> protection_method_from_name(std::string_view name);

/// A weight of a tensor that encoding takes care of.
struct ProtectedWeight {
  std::uint64_t row = 0;  ///< of the tensor; experts count as further rows
  std::uint64_t column = 0;
  bool restored = false;  ///< from a sidecar: what its block makes of it does not count

  auto key() const { return std::tuple(row, column, restored); }
};

/// By tensor of a plan: in order of rows, then columns, each place once. Empty, or as long as the plan.
using PlanProtection = std::vector<std::vector<ProtectedWeight>>;

}  // namespace tessera
