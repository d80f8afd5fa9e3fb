// What a size of a model costs, as predicted: a point of the curve of loss against size.
#pragma once

#include <cstdint>
#include <string>

namespace tessera {

struct SizePoint {
  std::string label;  ///< the type of all matrices, or empty for an allocation
  std::uint64_t tensor_bytes = 0;
  double bits_per_weight = 0;  ///< of all stored tensors
  double loss = 0;             ///< predicted mean KL divergence, nats per token
};

}  // namespace tessera
