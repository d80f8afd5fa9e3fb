#include "artifacts/tensor_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "foundation/base/error.h"
#include "foundation/base/nearest_name.h"
#include "foundation/base/printable.h"

namespace tessera {
namespace {

using model::TensorRole;

struct RoleGroup {
  std::string_view name;
  std::vector<TensorRole> roles;
};

const std::array<RoleGroup, 2>& role_groups() {
  using enum TensorRole;
  static const std::array<RoleGroup, 2> groups = {
      RoleGroup{"attention",
                {attention_query, attention_key, attention_value, attention_query_key_value, attention_latent,
                 attention_output}},
      RoleGroup{"ffn", {ffn_gate, ffn_up, ffn_down}},
  };
  return groups;
}

constexpr std::array<std::string_view, 3> kExpertKinds = {"dense", "routed", "shared"};
constexpr std::array<std::string_view, 2> kModelKinds = {"dense", "moe"};

bool is_glob(std::string_view pattern) { return pattern.find_first_of("*?") != std::string_view::npos; }

/// Greedy, with one place to come back to: the last `*`.
bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool is_feed_forward(TensorRole role) {
  return role == TensorRole::ffn_gate || role == TensorRole::ffn_up || role == TensorRole::ffn_down;
}

[[noreturn]] void refuse(const SourceLine& place, const std::string& what) {
  throw BadFileError({.file = place.text()}, what);
}

void apply(const TensorRule& rule, TensorLimits& limits) {
  if (rule.type || rule.keep) {
    limits = TensorLimits{};
    limits.type = rule.type;
    limits.keep = rule.keep;
    limits.pinned_by = rule.place;
    return;
  }
  if (limits.keep) return;
  if (limits.type) limits = TensorLimits{};
  if (rule.min_bits) {
    limits.min_bits = *rule.min_bits;
    limits.min_by = rule.place;
  }
  if (rule.max_bits) {
    limits.max_bits = *rule.max_bits;
    limits.max_by = rule.place;
  }
}

std::string effect_of(const TensorRule& rule) {
  return rule.keep ? "keep: true" : fmt::format("type: {}", name_of(*rule.type));
}

/// The exact name that both rules list, under the same other selectors.
std::optional<std::string> shared_name(const TensorSelector& left, const TensorSelector& right) {
  if (left.layers != right.layers || left.roles != right.roles || left.experts != right.experts) return {};
  for (const auto& name : left.tensors) {
    if (!is_glob(name) && std::ranges::find(right.tensors, name) != right.tensors.end()) return name;
  }
  return std::nullopt;
}

void require_agreement(const TensorRule& earlier, const TensorRule& later) {
  const bool both_pin = (earlier.type || earlier.keep) && (later.type || later.keep);
  if (!both_pin || earlier.models != later.models ||
      (earlier.type == later.type && earlier.keep == later.keep))
    return;
  const auto name = shared_name(earlier.selector, later.selector);
  if (!name && earlier.selector != later.selector) return;
  const std::string what = name ? fmt::format("tensor '{}'", printable(*name)) : "the same selection";
  refuse(later.place, fmt::format("{} for {} contradicts {} at {}; remove one of the two rules",
                                  effect_of(later), what, effect_of(earlier), earlier.place.text()));
}

void require_layers(const TensorRule& rule, std::uint32_t layer_count) {
  for (const auto& layers : rule.selector.layers) {
    if (layers.from != LayerSelection::From::number || layers.end < layer_count) continue;
    refuse(rule.place, fmt::format("layer {} is not in the model: it has {} layers, numbered from 0",
                                   layers.end, layer_count));
  }
}

void require_names(const TensorRule& rule, std::span<const std::string> tensor_names) {
  for (const auto& pattern : rule.selector.tensors) {
    const auto named = [&](const std::string& name) { return glob_matches(pattern, name); };
    if (std::ranges::any_of(tensor_names, named)) continue;
    const std::vector<std::string_view> known(tensor_names.begin(), tensor_names.end());
    refuse(rule.place, fmt::format("no tensor of the model {} '{}'{} (tessera inspect lists the names)",
                                   is_glob(pattern) ? "matches" : "is called", printable(pattern),
                                   did_you_mean(pattern, known)));
  }
}

}  // namespace

std::string SourceLine::text() const { return line == 0 ? file : fmt::format("{}:{}", file, line); }

bool LayerSelection::contains(std::uint32_t layer, std::uint32_t layer_count) const {
  switch (from) {
    case From::number:
      return layer >= begin && layer <= end;
    case From::first:
      return layer < end;
    case From::last:
      return layer < layer_count && layer_count - layer <= end;
  }
  return false;
}

std::string_view name_of(ExpertKind kind) { return kExpertKinds[static_cast<std::size_t>(kind)]; }

std::optional<ExpertKind> expert_kind_from_name(std::string_view name) {
  const auto* const found = std::ranges::find(kExpertKinds, name);
  if (found == kExpertKinds.end()) return std::nullopt;
  return static_cast<ExpertKind>(found - kExpertKinds.begin());
}

std::optional<ExpertKind> expert_kind_of(std::string_view tensor_name) {
  if (!is_feed_forward(model::place_of(tensor_name).role)) return std::nullopt;
  if (tensor_name.find("_exps.") != std::string_view::npos) return ExpertKind::routed;
  if (tensor_name.find("_shexp.") != std::string_view::npos) return ExpertKind::shared;
  return ExpertKind::dense;
}

std::string_view name_of(ModelKind kind) { return kModelKinds[static_cast<std::size_t>(kind)]; }

std::optional<ModelKind> model_kind_from_name(std::string_view name) {
  const auto* const found = std::ranges::find(kModelKinds, name);
  if (found == kModelKinds.end()) return std::nullopt;
  return static_cast<ModelKind>(found - kModelKinds.begin());
}

std::vector<TensorRole> roles_named(std::string_view name) {
  for (const auto& group : role_groups()) {
    if (group.name == name) return group.roles;
  }
  if (const auto role = model::tensor_role_from_name(name)) return {*role};
  return {};
}

std::vector<std::string_view> role_names() {
  std::vector<std::string_view> names;
  for (const auto& group : role_groups()) names.push_back(group.name);
  for (const auto role : model::all_tensor_roles()) names.push_back(model::name_of(role));
  return names;
}

bool TensorSelector::selects(std::string_view tensor_name, std::uint32_t layer_count) const {
  const auto place = model::place_of(tensor_name);
  const auto named = [&](const std::string& pattern) { return glob_matches(pattern, tensor_name); };
  const auto holds = [&](const LayerSelection& selection) {
    return place.layer && selection.contains(*place.layer, layer_count);
  };
  return (tensors.empty() || std::ranges::any_of(tensors, named)) &&
         (layers.empty() || std::ranges::any_of(layers, holds)) &&
         (roles.empty() || std::ranges::find(roles, place.role) != roles.end()) &&
         (!experts || expert_kind_of(tensor_name) == experts);
}

bool TensorLimits::allows(ElementType candidate) const {
  if (keep) return false;
  if (type) return candidate == *type;
  const double bits = info(candidate).bits_per_weight();
  return bits >= min_bits && bits <= max_bits;
}

std::vector<TensorRule> rules_for(std::span<const TensorRule> rules, ModelKind kind) {
  std::vector<TensorRule> found;
  for (const auto& rule : rules) {
    if (!rule.models || *rule.models == kind) found.push_back(rule);
  }
  return found;
}

std::vector<TensorRule> with_tied_output(std::span<const TensorRule> rules) {
  std::vector<TensorRule> found(rules.begin(), rules.end());
  for (auto& rule : found) {
    auto& roles = rule.selector.roles;
    if (std::ranges::find(roles, TensorRole::output) != roles.end())
      roles.push_back(TensorRole::token_embedding);
  }
  return found;
}

TensorLimits limits_of(std::span<const TensorRule> rules, std::string_view tensor_name,
                       std::uint32_t layer_count) {
  TensorLimits limits;
  for (const auto& rule : rules) {
    if (rule.selector.selects(tensor_name, layer_count)) apply(rule, limits);
  }
  if (limits.min_bits <= limits.max_bits) return limits;
  // Where the remedy is: the user's line, and of two of them the lower.
  const auto order = [](const SourceLine& place) { return std::pair(!place.built_in, place.line); };
  const auto& place = order(*limits.min_by) > order(*limits.max_by) ? *limits.min_by : *limits.max_by;
  refuse(place, fmt::format("tensor '{}' is to have at least {} bits per weight ({}) and at most {} ({}); "
                            "change one, or state min and max in one rule",
                            printable(tensor_name), limits.min_bits, limits.min_by->text(), limits.max_bits,
                            limits.max_by->text()));
}

void require_consistent(std::span<const TensorRule> rules) {
  for (std::size_t later = 0; later < rules.size(); ++later) {
    if (rules[later].place.built_in) continue;
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      if (!rules[earlier].place.built_in) require_agreement(rules[earlier], rules[later]);
    }
  }
}

void require_matches(std::span<const TensorRule> rules, std::span<const std::string> tensor_names,
                     std::uint32_t layer_count) {
  for (const auto& rule : rules) {
    if (rule.place.built_in) continue;
    require_layers(rule, layer_count);
    require_names(rule, tensor_names);
    const auto selected = [&](const std::string& name) { return rule.selector.selects(name, layer_count); };
    if (std::ranges::any_of(tensor_names, selected)) continue;
    refuse(rule.place,
           "the rule selects no tensor of the model: no tensor is in all of its tensors, layers, "
           "roles and experts; change or remove it");
  }
}

}  // namespace tessera
