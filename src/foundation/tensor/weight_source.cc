#include "foundation/tensor/weight_source.h"

namespace tessera {

std::optional<std::size_t> WeightSource::find(std::string_view tensor_name) const {
  const auto all = tensors();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name == tensor_name) return i;
  }
  return std::nullopt;
}

}  // namespace tessera
