// Chooses tensors that are better promoted to a type of 8 bits or more than protected weight by weight: super
// weights and tensors in, tensors out. Pure.
//
// What one tensor holds is measured by its mass: the sum of squared scores of its weights found by coverage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "artifacts/quant_plan.h"
#include "artifacts/super_weight.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::stages {

struct PromotionSettings {
  ElementType type = ElementType::Q8_0;  ///< or its fallback, where its blocks do not fit the rows
  /// Tensors with activation spikes are promoted. Of the others those with most mass per weight, until the
  /// promoted ones have this share of all mass;
  double mass = 0.5;
  /// one with which they would be more than this share of the model's weights is passed over.
  double weights = 0.05;
  /// A tensor in which more than this share of the blocks of kSuperWeightBlock weights has a super weight is
  /// crowded: its blocks cannot be protected one by one.
  double crowded_blocks = 0.05;
};

/// For the method tensor. `places` says the tensor of every weight of the list, as numbered in `tensors`.
std::vector<std::size_t> tensors_to_promote(const SuperWeightList& list, std::span<const std::size_t> places,
                                            std::span<const TensorDescriptor> tensors,
                                            const PromotionSettings& settings);

/// For the method block.
std::vector<std::size_t> crowded_tensors(const SuperWeightList& list, std::span<const std::size_t> places,
                                         std::span<const TensorDescriptor> tensors,
                                         const PromotionSettings& settings);

/// Gives the tensors of the plan the type where it has more bits than what they have now; whoever made the
/// plan may have done so already. Returns those that have it then.
std::vector<std::size_t> promote(std::span<const std::size_t> tensors, ElementType type, QuantPlan& plan);

}  // namespace tessera::stages
