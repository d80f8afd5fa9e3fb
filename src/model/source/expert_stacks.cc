#include "model/source/expert_stacks.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera::model {

ExpertStacks::ExpertStacks(const WeightSource& source, const ModelConfig& config)
    : source_(source), config_(config) {
  for (const TensorRule& rule : config.family->tensors) {
    if (is_per_expert(rule.hf_name)) rules_.push_back(&rule);
  }
}

std::vector<ExpertStack> ExpertStacks::add(const TensorRule& rule, const NameIndices& indices,
                                           std::size_t tensor) {
  auto& layer = layers_[indices.layer];
  layer[{&rule, indices.expert}] = tensor;
  std::vector<ExpertStack> stacks;
  if (layer.size() < rules_.size() * config_[Quantity::experts]) return stacks;
  for (const TensorRule* complete : rules_) stacks.push_back(stack(*complete, indices, layer));
  layers_.erase(indices.layer);
  return stacks;
}

ExpertStack ExpertStacks::stack(const TensorRule& rule, const NameIndices& indices,
                                const Layer& layer) const {
  ExpertStack stack;
  for (std::uint32_t expert = 0; expert < config_[Quantity::experts]; ++expert)
    stack.experts.push_back(layer.at({&rule, expert}));
  const TensorDescriptor& first = source_.tensors()[stack.experts.front()];
  for (const std::size_t tensor : stack.experts) {
    const TensorDescriptor& other = source_.tensors()[tensor];
    if (other.type == first.type) continue;
    throw BadFileError({.file = source_.name(), .tensor = printable(other.name)},
                       fmt::format("it is stored as {}, but {} as {}; experts that are stacked in one tensor "
                                   "must have one type",
                                   name_of(other.type), printable(first.name), name_of(first.type)));
  }
  stack.descriptor = {with_indices(rule.gguf_name, indices),
                      first.type,
                      {stack.experts.size(), first.shape.front(), first.shape.back()}};
  return stack;
}

}  // namespace tessera::model
