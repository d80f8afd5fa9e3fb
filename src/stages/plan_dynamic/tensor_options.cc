#include "stages/plan_dynamic/tensor_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "artifacts/candidate_types.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/architecture/kept_tensors.h"

namespace tessera::stages {
namespace {

constexpr std::string_view kTokenEmbedding = "token_embd.weight";

std::uint64_t bytes_as(const TensorDescriptor& tensor, ElementType type) {
  return TensorDescriptor{tensor.name, type, tensor.shape}.bytes();
}

TensorOptions fixed(const TensorDescriptor& tensor, ElementType type, ChoiceReason reason) {
  return {.types = {type}, .reason = reason, .least_bytes = bytes_as(tensor, type)};
}

/// For rows that fit no candidate: the source's type, or F16 where that is smaller.
ElementType plain_type(const TensorDescriptor& tensor) {
  return info(tensor.type).bits_per_weight() <= info(ElementType::F16).bits_per_weight() ? tensor.type
                                                                                         : ElementType::F16;
}

[[noreturn]] void refuse(const std::optional<SourceLine>& place, const TensorDescriptor& tensor,
                         const std::string& what) {
  throw BadFileError({.file = place ? place->text() : std::string(), .tensor = printable(tensor.name)}, what);
}

}  // namespace

OptionRules::OptionRules(const QuantPolicy& policy, const model::ModelFacts& facts)
    : candidates_(policy.candidates),
      layer_count_(facts.layer_count),
      rules_(rules_for(policy.rules, facts.experts > 0 ? ModelKind::moe : ModelKind::dense)),
      embedding_rules_(facts.has_output ? rules_ : with_tied_output(rules_)) {}

TensorOptions OptionRules::options_of(const TensorDescriptor& tensor, bool has_importance) const {
  if (!model::may_be_quantized(tensor)) return fixed(tensor, tensor.type, ChoiceReason::kept);
  const auto& rules = tensor.name == kTokenEmbedding ? embedding_rules_ : rules_;
  const auto limits = limits_of(rules, tensor.name, layer_count_);
  const auto usable = candidate_types(candidates_, tensor, has_importance);
  auto options = limits.keep      ? fixed(tensor, tensor.type, ChoiceReason::excluded)
                 : limits.type    ? pinned(tensor, limits, has_importance)
                 : usable.empty() ? fixed(tensor, plain_type(tensor), ChoiceReason::allocated)
                                  : limited(tensor, limits, usable);
  const auto least = bytes_as(tensor, options.types.front());
  options.least_bytes = usable.empty() ? least : std::min(least, bytes_as(tensor, usable.front()));
  if (options.least_bytes < least) options.raised_by = limits.pinned_by ? limits.pinned_by : limits.min_by;
  return options;
}

TensorOptions OptionRules::pinned(const TensorDescriptor& tensor, const TensorLimits& limits,
                                  bool has_importance) const {
  const auto wanted = *limits.type;
  const auto usable = usable_type(wanted, tensor, has_importance);
  if (!usable && info(wanted).demand == ImportanceDemand::required && !has_importance) {
    refuse(limits.pinned_by, tensor,
           fmt::format("{} needs an importance matrix that knows the tensor; give one, or pin another type",
                       name_of(wanted)));
  }
  if (!usable) {
    refuse(limits.pinned_by, tensor,
           fmt::format("rows of {} weights fit neither {} (blocks of {}) nor a fallback; pin another type",
                       tensor.columns(), name_of(wanted), info(wanted).block_weights));
  }
  auto options = fixed(tensor, *usable, ChoiceReason::pinned);
  if (*usable != wanted) options.wanted = wanted;
  return options;
}

TensorOptions OptionRules::limited(const TensorDescriptor& tensor, const TensorLimits& limits,
                                   std::span<const ElementType> usable) const {
  TensorOptions options;
  for (const auto type : usable) {
    if (limits.allows(type)) options.types.push_back(type);
  }
  if (!options.types.empty()) return options;
  const auto above = std::ranges::find_if(
      usable, [&](ElementType type) { return info(type).bits_per_weight() >= limits.min_bits; });
  if (above == usable.end()) {
    refuse(limits.min_by, tensor,
           fmt::format(
               "no candidate that the tensor can take has {} bits per weight or more, the largest is {}; "
               "add a candidate or lower `min`",
               limits.min_bits, name_of(usable.back())));
  }
  options.types = {*above};
  options.over = limits.max_by;
  return options;
}

}  // namespace tessera::stages
