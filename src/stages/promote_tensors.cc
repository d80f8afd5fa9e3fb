#include "stages/promote_tensors.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "artifacts/candidate_types.h"
#include "model/architecture/kept_tensors.h"

namespace tessera::stages {
namespace {

struct Holding {
  std::size_t tensor = 0;
  bool has_spike = false;
  double mass = 0;
  std::uint64_t weights = 1;                                      ///< of the tensor
  std::set<std::pair<std::uint64_t, std::uint64_t>> blocks = {};  ///< with super weights
};

/// Of the matrices that may be quantized, in the model's order.
std::vector<Holding> holdings_of(const SuperWeightList& list, std::span<const std::size_t> places,
                                 std::span<const TensorDescriptor> tensors) {
  std::vector<Holding> all;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    all.push_back({.tensor = i, .weights = tensors[i].weights()});
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& weight = list.weights[i];
    auto& holding = all[places[i]];
    holding.blocks.emplace(weight.row, weight.column / kSuperWeightBlock);
    if (weight.notion == SuperWeightNotion::activation_spike) {
      holding.has_spike = true;
    } else {
      holding.mass += weight.score * weight.score;
    }
  }
  std::erase_if(all, [&](const Holding& holding) {
    return holding.blocks.empty() || !model::may_be_quantized(tensors[holding.tensor]);
  });
  return all;
}

std::vector<std::size_t> numbers_of(std::span<const Holding> holdings) {
  std::vector<std::size_t> numbers;
  for (const auto& holding : holdings) numbers.push_back(holding.tensor);
  std::ranges::sort(numbers);
  return numbers;
}

}  // namespace

std::vector<std::size_t> tensors_to_promote(const SuperWeightList& list, std::span<const std::size_t> places,
                                            std::span<const TensorDescriptor> tensors,
                                            const PromotionSettings& settings) {
  auto holdings = holdings_of(list, places, tensors);
  std::ranges::stable_sort(holdings, std::ranges::greater{}, [](const Holding& holding) {
    return std::tuple(holding.has_spike, holding.mass / static_cast<double>(holding.weights));
  });
  double all_mass = 0, all_weights = 0;
  for (const auto& holding : holdings) all_mass += holding.mass;
  for (const auto& tensor : tensors) all_weights += static_cast<double>(tensor.weights());
  std::vector<Holding> promoted;
  double mass = 0, weights = 0;
  for (const auto& holding : holdings) {
    const double with_it = weights + static_cast<double>(holding.weights);
    const bool is_enough = mass >= settings.mass * all_mass || with_it > settings.weights * all_weights;
    if (is_enough && !holding.has_spike) continue;
    mass += holding.mass;
    weights = with_it;
    promoted.push_back(holding);
  }
  return numbers_of(promoted);
}

std::vector<std::size_t> crowded_tensors(const SuperWeightList& list, std::span<const std::size_t> places,
                                         std::span<const TensorDescriptor> tensors,
                                         const PromotionSettings& settings) {
  auto holdings = holdings_of(list, places, tensors);
  std::erase_if(holdings, [&](const Holding& holding) {
    const auto blocks = static_cast<double>(holding.weights) / kSuperWeightBlock;
    return static_cast<double>(holding.blocks.size()) <= settings.crowded_blocks * blocks;
  });
  return numbers_of(holdings);
}

std::vector<std::size_t> promote(std::span<const std::size_t> tensors, ElementType type, QuantPlan& plan) {
  std::vector<std::size_t> promoted;
  for (const auto i : tensors) {
    auto& tensor = plan.tensors[i];
    const auto usable = usable_type(type, tensor.source, true);
    if (!usable) continue;
    const double bits = info(tensor.target).bits_per_weight();
    if (bits > info(*usable).bits_per_weight()) continue;  // kept at more already
    if (bits < info(*usable).bits_per_weight()) {
      tensor.target = *usable;
      tensor.predicted_loss.reset();
    }
    tensor.reason = ChoiceReason::super_weights;
    promoted.push_back(i);
  }
  return promoted;
}

}  // namespace tessera::stages
