// Chooses what goes into the sidecar of a model (artifacts/sidecar.h): super weights and matrices in, the
// places of the weights to restore out. Pure.
//
// A line of a matrix, a row or a column with super weights, costs one rank of its adapter, whatever number of
// them it has. In every matrix the direction with fewer such lines is taken. Lines are then taken in this
// order while there is room: those with activation spikes, by the number of spikes, then all others by the
// sum of squared scores per byte. A line that does not fit, the matrix having all its rank or the rest of the
// bytes being too few, is passed over; its weights stay without a sidecar.
//
// Runtimes apply adapters to matrices of the layers and to an output of their own. The token embedding and
// stacked experts are left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "artifacts/sidecar.h"
#include "artifacts/super_weight.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::stages {

struct SidecarSettings {
  /// Most lines of one matrix: what a runtime pays per token grows with them.
  std::uint32_t max_rank = 32;
  /// Most bytes of all adapters together, in bits for every weight of the model: 0.02 are 1 % of a file of
  /// 2 bits per weight.
  double max_bits_per_weight = 0.02;
};

/// Whether a sidecar can restore weights of this tensor.
bool takes_sidecar(const TensorDescriptor& tensor);

/// `places` says the tensor of every weight of the list, as numbered in `tensors`. Differences are 0, the
/// hash is empty; tensors are in the model's order.
Sidecar plan_sidecar(const SuperWeightList& list, std::span<const std::size_t> places,
                     std::span<const TensorDescriptor> tensors, const std::string& architecture,
                     const SidecarSettings& settings);

}  // namespace tessera::stages
