#include "artifacts/candidate_types.h"

#include <algorithm>

namespace tessera {

std::optional<ElementType> usable_type(ElementType wanted, const TensorDescriptor& tensor,
                                       bool has_importance) {
  const auto fits = [&](ElementType type) { return tensor.columns() % info(type).block_weights == 0; };
  if (info(wanted).demand == ImportanceDemand::required && !has_importance) return std::nullopt;
  if (fits(wanted)) return wanted;
  const auto fallback = info(wanted).fallback;
  if (fallback && fits(*fallback)) return fallback;
  return std::nullopt;
}

std::vector<ElementType> candidate_types(std::span<const ElementType> wanted, const TensorDescriptor& tensor,
                                         bool has_importance) {
  std::vector<ElementType> types;
  for (const auto type : wanted) {
    const auto usable = usable_type(type, tensor, has_importance);
    if (usable && std::ranges::find(types, *usable) == types.end()) types.push_back(*usable);
  }
  std::ranges::stable_sort(types, {}, [](ElementType type) { return info(type).bits_per_weight(); });
  return types;
}

}  // namespace tessera
