#include "artifacts/weight_protection.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tessera {
namespace {

constexpr std::array kNames = {
    std::pair{ProtectionMethod::block, std::string_view("block")},
    std::pair{ProtectionMethod::tensor, std::string_view("tensor")},
    std::pair{ProtectionMethod::sidecar, std::string_view("sidecar")},
};

}  // namespace

std::string_view name_of(ProtectionMethod method) {
  return std::ranges::find(kNames, method, &decltype(kNames)::value_type::first)->second;
}

std::optional<ProtectionMethod> protection_method_from_name(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &decltype(kNames)::value_type::second);
  return found == kNames.end() ? std::nullopt : std::optional(found->first);
}

}  // namespace tessera
