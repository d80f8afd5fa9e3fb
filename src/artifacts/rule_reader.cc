#include "artifacts/rule_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "foundation/base/printable.h"

namespace tessera {
namespace {

constexpr double kMostBits = 32;  // F32

std::vector<std::string_view> weight_type_names() {
  std::vector<std::string_view> names;
  for (const auto& type : all_element_types()) {
    if (is_weight_type(type.type)) names.push_back(type.name);
  }
  return names;
}

/// A whole number that fits, or empty.
std::optional<std::uint32_t> number_in(std::string_view text) {
  std::uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end) return std::nullopt;
  return value;
}

[[noreturn]] void refuse_layers(const ConfigValue& value) {
  value.refuse(fmt::format("'{}' names no layers; write a number (5), a range (0-2), 'first N' or 'last N'",
                           printable(value.text())));
}

/// "first N" and "last N", with `text` from N on.
LayerSelection read_end(const ConfigValue& value, LayerSelection::From from, std::string_view text) {
  const auto count = number_in(text);
  if (!count) refuse_layers(value);
  if (*count == 0) {
    value.refuse(fmt::format("'{}' selects no layer; write 1 or more", printable(value.text())));
  }
  return {from, 0, *count};
}

/// A number of bits, or the type that has as many.
double read_bits(const ConfigValue& value) {
  if (!value.is_number() && element_type_from_name(value.text())) {
    return info(read_weight_type(value)).bits_per_weight();
  }
  if (!value.is_number()) {
    value.refuse(
        fmt::format("'{}' must be a number of bits per weight or a tensor type such as Q4_K, and is "
                    "'{}'",
                    value.name(), printable(value.text())));
  }
  const double bits = value.number();
  if (bits <= 0 || bits > kMostBits) {
    value.refuse(fmt::format("'{}' must be above 0 and at most {} bits per weight, and is {}", value.name(),
                             kMostBits, bits));
  }
  return bits;
}

void read_roles(TensorRule& rule, const ConfigValue& value) {
  for (const auto& item : some_items(value)) {
    const auto roles = roles_named(item.text());
    if (roles.empty()) item.refuse_unknown("role", role_names());
    rule.selector.roles.insert(rule.selector.roles.end(), roles.begin(), roles.end());
  }
}

void read_experts(TensorRule& rule, const ConfigValue& value) {
  using enum ExpertKind;
  rule.selector.experts = expert_kind_from_name(value.text());
  if (rule.selector.experts) return;
  value.refuse_unknown("kind of experts", std::array{name_of(dense), name_of(routed), name_of(shared)});
}

void read_models(TensorRule& rule, const ConfigValue& value) {
  rule.models = model_kind_from_name(value.text());
  if (rule.models) return;
  value.refuse_unknown("kind of models", std::array{name_of(ModelKind::dense), name_of(ModelKind::moe)});
}

void read_keep(TensorRule& rule, const ConfigValue& value) {
  rule.keep = value.flag();
  if (!rule.keep) {
    value.refuse("'keep: false' has no effect; remove it, or undo an earlier keep with a type");
  }
}

struct RuleKey {
  std::string_view name;
  void (*read)(TensorRule&, const ConfigValue&);
};

constexpr std::array<RuleKey, 9> kRuleKeys = {
    RuleKey{"tensors",
            [](TensorRule& rule, const ConfigValue& value) {
              for (const auto& item : some_items(value)) rule.selector.tensors.push_back(item.text());
            }},
    RuleKey{"layers",
            [](TensorRule& rule, const ConfigValue& value) {
              for (const auto& item : some_items(value)) rule.selector.layers.push_back(read_layers(item));
            }},
    RuleKey{"roles", read_roles},
    RuleKey{"experts", read_experts},
    RuleKey{"models", read_models},
    RuleKey{"type", [](TensorRule& rule, const ConfigValue& value) { rule.type = read_weight_type(value); }},
    RuleKey{"min", [](TensorRule& rule, const ConfigValue& value) { rule.min_bits = read_bits(value); }},
    RuleKey{"max", [](TensorRule& rule, const ConfigValue& value) { rule.max_bits = read_bits(value); }},
    RuleKey{"keep", read_keep},
};

void require_effect(const TensorRule& rule, const ConfigValue& value) {
  const bool limited = rule.min_bits || rule.max_bits;
  if (!rule.type && !limited && !rule.keep) {
    value.refuse("the rule has no effect; give it a type, min, max or keep");
  }
  if (rule.type && rule.keep)
    value.refuse("the rule has both type and keep; a tensor cannot have both: remove one");
  if (rule.type && limited) {
    value.refuse("the rule has both a type and limits (min, max); the type decides alone: remove one");
  }
  if (rule.keep && limited) {
    value.refuse("the rule has both keep and limits (min, max); what is kept has no limits: remove one");
  }
  if (rule.min_bits && rule.max_bits && *rule.min_bits > *rule.max_bits) {
    value.refuse(fmt::format("min ({} bits per weight) is above max ({}); exchange them", *rule.min_bits,
                             *rule.max_bits));
  }
}

}  // namespace

LayerSelection read_layers(const ConfigValue& value) {
  using From = LayerSelection::From;
  constexpr std::string_view kFirst = "first ";
  constexpr std::string_view kLast = "last ";
  const std::string_view text = value.text();
  if (text.starts_with(kFirst)) return read_end(value, From::first, text.substr(kFirst.size()));
  if (text.starts_with(kLast)) return read_end(value, From::last, text.substr(kLast.size()));
  const auto dash = text.find('-');
  const auto begin = number_in(text.substr(0, dash));
  const auto end = dash == std::string_view::npos ? begin : number_in(text.substr(dash + 1));
  if (!begin || !end) refuse_layers(value);
  if (*begin > *end) {
    value.refuse(fmt::format("the range '{}' is reversed; write {}-{}", printable(text), *end, *begin));
  }
  return {From::number, *begin, *end};
}

std::vector<ConfigValue> some_items(const ConfigValue& value) {
  auto items = value.items_or_one();
  if (items.empty()) {
    value.refuse(fmt::format("'{}' is empty and selects nothing; list something or remove it", value.name()));
  }
  return items;
}

ElementType read_weight_type(const ConfigValue& value) {
  const auto type = element_type_from_name(value.text());
  if (!type) value.refuse_unknown("tensor type", weight_type_names());
  if (!is_weight_type(*type)) {
    value.refuse(fmt::format("{} is no type for weights; choose one such as Q4_K", name_of(*type)));
  }
  return *type;
}

TensorRule read_rule(const ConfigValue& value) {
  TensorRule rule;
  rule.place = value.place();
  std::vector<std::string_view> known;
  for (const auto& key : kRuleKeys) known.push_back(key.name);
  const auto fields = value.fields(known);
  if (fields.empty()) value.refuse("the rule is empty; give it a type, min, max or keep, or remove it");
  for (const auto& field : fields) {
    std::ranges::find(kRuleKeys, field.key, &RuleKey::name)->read(rule, field.value);
  }
  require_effect(rule, value);
  return rule;
}

TensorRule read_exclusion(const ConfigValue& value) {
  TensorRule rule;
  rule.selector.tensors = {value.text()};
  rule.keep = true;
  rule.place = value.place();
  return rule;
}

}  // namespace tessera
