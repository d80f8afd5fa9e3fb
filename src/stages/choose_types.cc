#include "stages/choose_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/architecture/kept_tensors.h"

namespace tessera::stages {
namespace {

using model::TensorRole;

/// Where a tensor stands among those of its role: layers are counted as far as they have that role.
struct LayerPosition {
  std::uint32_t index = 0;
  std::uint32_t count = 0;
};

class LayerPositions {
 public:
  explicit LayerPositions(std::span<const TensorDescriptor> tensors) {
    for (const auto& tensor : tensors) {
      const auto place = model::place_of(tensor.name);
      if (place.layer) layers_[place.role].insert(*place.layer);
    }
  }

  std::optional<LayerPosition> find(const model::TensorPlace& place) const {
    if (!place.layer) return std::nullopt;
    const auto& layers = layers_.at(place.role);
    const auto index = std::distance(layers.begin(), layers.find(*place.layer));
    return LayerPosition{static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(layers.size())};
  }

 private:
  std::map<TensorRole, std::set<std::uint32_t>> layers_;
};

/// All that a rule can ask about one tensor.
struct RuleSubject {
  const TensorDescriptor& tensor;
  TensorRole role;
  std::optional<LayerPosition> position;
  const model::ModelFacts& facts;
  const TypeChoice& choice;
};

template <class List, class Item>
bool empty_or_contains(const List& list, const Item& item) {
  return list.empty() || std::ranges::find(list, item) != list.end();
}

bool layers_match(const RecipeRule& rule, const std::optional<LayerPosition>& position) {
  if (rule.layers.empty()) return true;
  return position && std::ranges::any_of(rule.layers, [&](const LayerInterval& interval) {
           return interval.contains(position->index, position->count);
         });
}

bool applies(const RecipeRule& rule, const RuleSubject& subject) {
  const auto& facts = subject.facts;
  const bool fits = subject.tensor.columns() % info(subject.choice.recipe.type).block_weights == 0;
  const bool stacked = subject.tensor.shape.size() > 2;
  return empty_or_contains(rule.roles, subject.role) && layers_match(rule, subject.position) &&
         empty_or_contains(rule.architectures, facts.architecture) &&
         (!rule.layer_count || facts.layer_count == *rule.layer_count) &&
         (!rule.min_gqa || facts.gqa() >= *rule.min_gqa) &&
         (!rule.experts || facts.experts == *rule.experts) &&
         (!rule.min_experts || facts.experts >= *rule.min_experts) &&
         (!rule.stacked || stacked == *rule.stacked) &&
         (!rule.imatrix || subject.choice.has_importance == *rule.imatrix) &&
         (!rule.fits || fits == *rule.fits);
}

struct Choice {
  ElementType type;
  ChoiceReason reason;
};

Choice choose_by_recipe(const RuleSubject& subject) {
  const auto& choice = subject.choice;
  if (choice.pure_type) return {*choice.pure_type, ChoiceReason::pure};
  for (const auto& rule : choice.recipe.rules) {
    if (applies(rule, subject)) return {rule.type, ChoiceReason::recipe_rule};
  }
  return {choice.recipe.type, ChoiceReason::recipe_default};
}

/// The compiled --tensor-type patterns, remembering which ones ever matched.
class Overrides {
 public:
  explicit Overrides(const std::vector<TensorTypeOverride>& overrides) {
    for (const auto& override : overrides) {
      try {
        patterns_.push_back({std::regex(override.pattern, std::regex::icase), override, false});
      } catch (const std::regex_error& error) {
        throw UsageError(fmt::format("--tensor-type {}={}: not a valid regular expression: {}",
                                     override.pattern, name_of(override.type), error.what()));
      }
    }
  }

  std::optional<ElementType> find(const std::string& name) {
    for (auto& pattern : patterns_) {
      if (!std::regex_search(name, pattern.expression)) continue;
      pattern.matched = true;
      return pattern.override.type;
    }
    return std::nullopt;
  }

  std::vector<std::string> unmatched() const {
    std::vector<std::string> names;
    for (const auto& pattern : patterns_) {
      if (!pattern.matched) names.push_back(pattern.override.pattern);
    }
    return names;
  }

 private:
  struct Pattern {
    std::regex expression;
    TensorTypeOverride override;
    bool matched;
  };
  std::vector<Pattern> patterns_;
};

void refuse_when_quantized(const TensorDescriptor& tensor) {
  if (!info(tensor.type).quantized) return;
  throw UsageError(fmt::format(
      "tensor '{}' already is quantized ({}); quantizing it again adds the errors of both: start from "
      "the F16, BF16 or F32 model, or give --allow-requantize",
      printable(tensor.name), name_of(tensor.type)));
}

/// Replaces a type whose blocks do not fit the row length; one step, then F16.
void apply_fallback(PlannedTensor& planned) {
  const auto fits = [&](ElementType type) {
    return planned.source.columns() % info(type).block_weights == 0;
  };
  const ElementType wanted = planned.target;
  if (fits(wanted)) return;
  const auto fallback = info(wanted).fallback;
  if (!fallback) {
    throw UsageError(
        fmt::format("tensor '{}' cannot be {}: its rows have {} weights, no multiple of {}, and {} has no "
                    "fallback; choose "
                    "another type for it with --tensor-type",
                    printable(planned.source.name), name_of(wanted), planned.source.columns(),
                    info(wanted).block_weights, name_of(wanted)));
  }
  planned.wanted = wanted;
  planned.target = fits(*fallback) ? *fallback : ElementType::F16;
}

Choice choose(const RuleSubject& subject, Overrides& overrides) {
  const auto& choice = subject.choice;
  const bool is_embedding = subject.tensor.name == "token_embd.weight";
  if (is_embedding && choice.token_embedding_type) {
    return {*choice.token_embedding_type, ChoiceReason::embedding_type_option};
  }
  if (subject.role == TensorRole::output && choice.output_type) {
    return {*choice.output_type, ChoiceReason::output_type_option};
  }
  if (const auto type = overrides.find(subject.tensor.name)) return {*type, ChoiceReason::tensor_type_option};
  return choose_by_recipe(subject);
}

}  // namespace

QuantPlan choose_types(std::span<const TensorDescriptor> tensors, const model::ModelFacts& facts,
                       const TypeChoice& choice) {
  const LayerPositions positions(tensors);
  Overrides overrides(choice.overrides);
  QuantPlan plan{choice.recipe.name, choice.recipe.file_type, {}, {}};
  for (const auto& tensor : tensors) {
    PlannedTensor planned{tensor, model::place_of(tensor.name), tensor.type, ChoiceReason::kept};
    const bool is_output = tensor.name == "output.weight";
    if (model::may_be_quantized(tensor) && is_output && choice.leave_output) {
      planned.reason = ChoiceReason::kept_output;
    } else if (model::may_be_quantized(tensor)) {
      const bool tied = !facts.has_output && tensor.name == "token_embd.weight";
      const auto role = tied ? TensorRole::output : planned.place.role;
      const auto chosen = choose({tensor, role, positions.find(planned.place), facts, choice}, overrides);
      planned.target = chosen.type;
      planned.reason = chosen.reason;
      apply_fallback(planned);
    }
    plan.tensors.push_back(std::move(planned));
  }
  plan.unmatched_patterns = overrides.unmatched();
  return plan;
}

void refuse_requantization(const QuantPlan& plan) {
  for (const auto& tensor : plan.tensors) {
    if (!tensor.is_copied()) refuse_when_quantized(tensor.source);
  }
}

void refuse_quantized_source(std::span<const TensorDescriptor> tensors) {
  for (const auto& tensor : tensors) {
    if (model::may_be_quantized(tensor)) refuse_when_quantized(tensor);
  }
}

}  // namespace tessera::stages
