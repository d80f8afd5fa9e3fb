// Chooses what goes into the sidecar of a model (artifacts/sidecar.h): super weights and matrices in, the
// places of the weights to restore out. Pure.
//
// A line of a matrix, a row or a column with super weights, costs one rank of its adapter, whatever number of
// them it has. In every matrix the direction with fewer such lines is taken. Lines are then taken in this
// order while there is room: those with activation spikes, by the number of spikes, then all others by the
// sum of squared scores per byte. A line that does not fit, the matrix having all its rank or the rest of the
// bytes being too few, is passed over.
//
// A line without spikes has to be worth its bytes, too. The bytes could go to all weights instead: of n
// weights whose scores have the mean square m, a format with the relative squared error e loses e n m, and
// more bits per weight bring that down by the factor 4^-bits, so 8 bits more, in all, are worth
// e n m * 2 ln 2 * 8 / n. A line whose squared scores sum up to s is worth e s. It is taken when
//
//   s >= 16 ln 2 * m * bytes
//
// m is taken from the search: the fence below which scores are no outliers is 5.7 times their root mean
// square where they are normally distributed. A list without a fence has lines with spikes alone. So has the
// output matrix: plans give it some bits more than the rest, so that its own e is a small part of that above.
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
