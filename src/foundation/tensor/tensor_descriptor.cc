#include "foundation/tensor/tensor_descriptor.h"

namespace tessera {

std::uint64_t TensorDescriptor::rows() const {
  std::uint64_t product = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

}  // namespace tessera
