#include "artifacts/quant_plan.h"

#include <algorithm>
#include <map>

#include "artifacts/recipe.h"

namespace tessera {

std::string_view name_of(ChoiceReason reason) {
  switch (reason) {
    case ChoiceReason::kept:
      return "kept";
    case ChoiceReason::kept_output:
      return "left as it is";
    case ChoiceReason::recipe_default:
      return "recipe default";
    case ChoiceReason::recipe_rule:
      return "recipe rule";
    case ChoiceReason::pure:
      return "pure";
    case ChoiceReason::tensor_type_option:
      return "--tensor-type";
    case ChoiceReason::output_type_option:
      return "--output-tensor-type";
    case ChoiceReason::embedding_type_option:
      return "--token-embedding-type";
    case ChoiceReason::allocated:
      return "allocated";
    case ChoiceReason::pinned:
      return "pinned by rule";
    case ChoiceReason::excluded:
      return "excluded by rule";
    case ChoiceReason::plan_file:
      return "--plan";
    case ChoiceReason::super_weights:
      return "holds super weights";
  }
  return "unknown";
}

std::vector<TensorDescriptor> outputs_of(const QuantPlan& plan) {
  std::vector<TensorDescriptor> outputs;
  for (const auto& tensor : plan.tensors) outputs.push_back(tensor.output());
  return outputs;
}

PlanSize size_of(const QuantPlan& plan) {
  PlanSize size;
  for (const auto& tensor : plan.tensors) {
    size.weights += tensor.source.weights();
    size.source_bytes += tensor.source.bytes();
    size.target_bytes += tensor.output().bytes();
  }
  return size;
}

void name_after_largest_part(QuantPlan& plan) {
  std::map<ElementType, std::uint64_t> weights;
  for (const auto& tensor : plan.tensors) weights[tensor.target] += tensor.source.weights();
  const auto fewer = [](const auto& left, const auto& right) { return left.second < right.second; };
  const auto largest = std::ranges::max_element(weights, fewer);
  if (largest == weights.end()) return;
  const auto recipe = find_recipe(name_of(largest->first));
  if (!recipe) return;
  plan.recipe = recipe->name;
  plan.file_type = recipe->file_type;
}

std::optional<double> predicted_loss_of(const QuantPlan& plan) {
  std::optional<double> loss;
  for (const auto& tensor : plan.tensors) {
    if (tensor.predicted_loss) loss = loss.value_or(0) + *tensor.predicted_loss;
  }
  return loss;
}

nlohmann::json to_json(const QuantPlan& plan) {
  auto tensors = nlohmann::json::array();
  for (const auto& tensor : plan.tensors) {
    nlohmann::json row = {{"name", tensor.source.name},
                          {"role", name_of(tensor.place.role)},
                          {"shape", tensor.source.shape},
                          {"from", name_of(tensor.source.type)},
                          {"to", name_of(tensor.target)},
                          {"reason", name_of(tensor.reason)},
                          {"source_bytes", tensor.source.bytes()},
                          {"bytes", tensor.output().bytes()}};
    if (tensor.wanted) row["wanted"] = name_of(*tensor.wanted);
    if (tensor.predicted_loss) row["predicted_loss"] = *tensor.predicted_loss;
    tensors.push_back(std::move(row));
  }
  return {{"recipe", plan.recipe}, {"file_type", plan.file_type}, {"tensors", std::move(tensors)}};
}

}  // namespace tessera
