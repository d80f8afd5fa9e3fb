// A stated prior of what each tensor's loss costs, for when neither gradients nor measurements can be had:
//
//     loss(tensor, type) = share * role factor * depth factor * relative error of the type
//
//   share           of the weights that one token meets: a weight of a routed expert counts experts_used /
//                   experts
//   role factor     nats per token that a relative error of 1 in all weights of the role would cost if the
//   loss
//                   grew linearly
//   depth factor    raises the first, second and last layer
//   relative error  squared error over energy, of a seeded sample of normal weights encoded in the type
//
// Where the factors come from: one llama model of 27 million parameters and 6 layers. There each tensor alone
// was stored as IQ2_XXS, Q2_K and IQ3_XXS, and the mean KL divergence taken; a factor is the geometric mean
// over the layers, rounded. Over that model's own 261 tensors and types the rank correlation is 0.97, which
// says that the form fits and not that the factors hold for models of other sizes and families. Latent
// attention, fused projections and experts were not in it: the first take the key projection's factor (all of
// a layer's attention passes through them), the second the mean of the three, the third that of dense layers.
#pragma once

#include <span>
#include <vector>

#include "artifacts/sensitivity.h"
#include "foundation/tensor/tensor_descriptor.h"
#include "model/architecture/model_facts.h"

namespace tessera::stages {

struct PriorCandidates {
  TensorDescriptor tensor;
  std::vector<ElementType> types;  ///< in order of bits per weight
};

/// Deterministic. `tensors` are all that may be quantized; shares are taken of their sum.
Sensitivity prior_sensitivity(std::span<const PriorCandidates> tensors, const model::ModelFacts& facts);

/// Squared error over energy when normal weights are encoded in `type`, none of them more important than
/// another.
double relative_error_of(ElementType type);

}  // namespace tessera::stages
