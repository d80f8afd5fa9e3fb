#include "stages/plan_dynamic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <map>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "stages/plan_dynamic/allocate.h"
#include "stages/plan_dynamic/tensor_options.h"

namespace tessera::stages {
namespace {

/// Of an unreachable target: rules that the message names.
constexpr std::size_t kNamedRules = 3;

using LossTable = std::map<std::string_view, const TensorSensitivity*>;

double bits_per_weight(std::uint64_t bytes, std::uint64_t weights) {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

class Planner {
 public:
  explicit Planner(const DynamicPlanInput& input) : input_(input) {
    assert(input.has_importance.size() == input.tensors.size());
    for (const auto& row : input.sensitivity.tensors) losses_[row.tensor] = &row;
    const OptionRules rules(input.policy, input.facts);
    for (std::size_t i = 0; i < input.tensors.size(); ++i) {
      const auto& tensor = input.tensors[i];
      weights_ += tensor.weights();
      options_.push_back(rules.options_of(tensor, input.has_importance[i]));
      items_.push_back(item_of(tensor, options_.back()));
    }
  }

  DynamicPlanResult run() const {
    require_reachable();
    const auto allocation = allocate(items_, input_.budget_bytes);
    DynamicPlanResult result;
    result.plan = plan_of(allocation);
    result.predicted_loss = allocation.loss;
    for (const auto& point : allocation_curve(items_, input_.curve_points)) {
      result.curve.push_back({"", point.bytes, bits_per_weight(point.bytes, weights_), point.loss});
    }
    add_notes_on_limits(result.notes);
    if (allocation.bytes < input_.budget_bytes && is_best(allocation)) {
      result.notes.push_back(fmt::format(
          "the target is above the largest useful size under the profile's candidates and rules: {} bytes, "
          "{:.2f} bits per weight",
          allocation.bytes, bits_per_weight(allocation.bytes, weights_)));
    }
    return result;
  }

 private:
  std::optional<double> loss_of(const TensorDescriptor& tensor, ElementType type) const {
    const auto row = losses_.find(tensor.name);
    if (row == losses_.end()) return std::nullopt;
    const auto found = std::ranges::find(row->second->candidates, type, &CandidateLoss::type);
    if (found == row->second->candidates.end()) return std::nullopt;
    return found->loss;
  }

  AllocationItem item_of(const TensorDescriptor& tensor, const TensorOptions& options) const {
    AllocationItem item;
    for (const auto type : options.types) {
      const auto loss = loss_of(tensor, type);
      if (!loss && options.types.size() > 1) {
        throw UsageError(fmt::format("the sensitivities do not know tensor '{}' as {}; compute them anew",
                                     printable(tensor.name), name_of(type)));
      }
      item.push_back({TensorDescriptor{tensor.name, type, tensor.shape}.bytes(), loss.value_or(0)});
    }
    return item;
  }

  void require_reachable() const {
    std::uint64_t least = 0;
    std::map<std::string, std::uint64_t> raised;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto bytes = std::ranges::min(items_[i], {}, &AllocationOption::bytes).bytes;
      least += bytes;
      if (const auto& rule = options_[i].raised_by) raised[rule->text()] += bytes - options_[i].least_bytes;
    }
    if (least <= input_.budget_bytes) return;
    throw UsageError(fmt::format(
        "{} bytes ({:.3f} bits per weight) for all tensors cannot be reached: the least under the profile's "
        "candidates and rules is {} bytes ({:.3f} bits per weight){}; ask for more, or change them",
        input_.budget_bytes, bits_per_weight(input_.budget_bytes, weights_), least,
        bits_per_weight(least, weights_), costliest(raised) + importance_remedy()));
  }

  /// What to say where small types were ruled out for want of importance.
  std::string importance_remedy() const {
    const bool is_wanted = std::ranges::any_of(input_.policy.candidates, [](ElementType type) {
      return info(type).demand == ImportanceDemand::required;
    });
    std::size_t without = 0;
    for (std::size_t i = 0; i < options_.size(); ++i) {
      if (options_[i].reason == ChoiceReason::allocated && !input_.has_importance[i]) ++without;
    }
    if (!is_wanted || without == 0) return "";
    return fmt::format("; {} {} no importance, without which the smallest types cannot be used", without,
                       without == 1 ? "tensor has" : "tensors have");
  }

  static std::string costliest(const std::map<std::string, std::uint64_t>& raised) {
    std::vector<std::pair<std::string, std::uint64_t>> rules(raised.begin(), raised.end());
    std::ranges::stable_sort(rules, std::ranges::greater{}, [](const auto& rule) { return rule.second; });
    if (rules.size() > kNamedRules) rules.resize(kNamedRules);
    std::string text;
    for (const auto& [place, bytes] : rules) {
      text += fmt::format("{}{} ({} bytes)", text.empty() ? "; the rules that raise it most: " : ", ", place,
                          bytes);
    }
    return text;
  }

  QuantPlan plan_of(const Allocation& allocation) const {
    QuantPlan plan;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto& tensor = input_.tensors[i];
      const auto& options = options_[i];
      const auto type = options.types[allocation.choices[i]];
      plan.tensors.push_back({.source = tensor,
                              .place = model::place_of(tensor.name),
                              .target = type,
                              .reason = options.reason,
                              .wanted = options.wanted,
                              .predicted_loss = loss_of(tensor, type)});
      if (type == tensor.type) plan.tensors.back().predicted_loss.reset();
    }
    name_after_largest_part(plan);
    plan.recipe = "dynamic";
    return plan;
  }

  void add_notes_on_limits(std::vector<std::string>& notes) const {
    std::map<std::string, std::size_t> over;
    for (const auto& options : options_) {
      if (options.over) ++over[options.over->text()];
    }
    for (const auto& [place, count] : over) {
      notes.push_back(fmt::format("{}: {} {} no type as small as `max`; the smallest possible is used", place,
                                  count, count == 1 ? "tensor can take" : "tensors can take"));
    }
  }

  bool is_best(const Allocation& allocation) const {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto least = std::ranges::min(items_[i], {}, &AllocationOption::loss).loss;
      if (items_[i][allocation.choices[i]].loss > least) return false;
    }
    return true;
  }

  const DynamicPlanInput& input_;
  LossTable losses_;
  std::uint64_t weights_ = 0;
  std::vector<TensorOptions> options_;  ///< by tensor
  std::vector<AllocationItem> items_;   ///< by tensor: the same options
};

}  // namespace

DynamicPlanResult plan_dynamic(const DynamicPlanInput& input) { return Planner(input).run(); }

}  // namespace tessera::stages
