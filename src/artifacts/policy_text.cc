#include "artifacts/policy_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace tessera {
namespace {

std::string text_of(const LayerSelection& layers) {
  switch (layers.from) {
    case LayerSelection::From::first:
      return fmt::format("first {}", layers.end);
    case LayerSelection::From::last:
      return fmt::format("last {}", layers.end);
    case LayerSelection::From::number:
      break;
  }
  if (layers.begin == layers.end) return fmt::format("{}", layers.begin);
  return fmt::format("{}-{}", layers.begin, layers.end);
}

/// Takes the roles of the group `name` out of `roles`, if all are there.
bool take_group(std::vector<model::TensorRole>& roles, const std::vector<model::TensorRole>& group) {
  const auto has = [&](model::TensorRole role) { return std::ranges::find(roles, role) != roles.end(); };
  if (!std::ranges::all_of(group, has)) return false;
  std::erase_if(roles, [&](auto role) { return std::ranges::find(group, role) != group.end(); });
  return true;
}

std::vector<std::string> names_of(std::vector<model::TensorRole> roles) {
  std::vector<std::string> names;
  for (const auto name : role_names()) {
    const auto group = roles_named(name);
    if (!roles.empty() && take_group(roles, group)) names.emplace_back(name);
  }
  return names;
}

/// Keys and values of a rule, in the order of the grammar.
nlohmann::ordered_json fields_of(const TensorRule& rule) {
  nlohmann::ordered_json fields = nlohmann::ordered_json::object();
  const auto& selector = rule.selector;
  if (!selector.tensors.empty()) fields["tensors"] = selector.tensors;
  for (const auto& layers : selector.layers) fields["layers"].push_back(text_of(layers));
  if (!selector.roles.empty()) fields["roles"] = names_of(selector.roles);
  if (selector.experts) fields["experts"] = name_of(*selector.experts);
  if (rule.models) fields["models"] = name_of(*rule.models);
  if (rule.type) fields["type"] = name_of(*rule.type);
  if (rule.min_bits) fields["min"] = *rule.min_bits;
  if (rule.max_bits) fields["max"] = *rule.max_bits;
  if (rule.keep) fields["keep"] = true;
  return fields;
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

/// Names of tensors may hold globs, which YAML wants in quotation marks; all other words are plain.
std::string text_of(const std::string& key, const nlohmann::ordered_json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number()) return fmt::format("{}", value.get<double>());
  std::vector<std::string> items;
  for (const auto& item : value) {
    const auto text = item.get<std::string>();
    items.push_back(key == "tensors" ? quoted(text) : text);
  }
  return fmt::format("[{}]", fmt::join(items, ", "));
}

}  // namespace

std::string to_text(const TensorRule& rule) {
  std::vector<std::string> parts;
  const auto fields = fields_of(rule);
  for (const auto& [key, value] : fields.items()) {
    parts.push_back(fmt::format("{}: {}", key, text_of(key, value)));
  }
  return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

std::string to_yaml(const QuantPolicy& policy) {
  std::string text = fmt::format("# {}: {}\ncandidates:\n", policy.profile, policy.about);
  for (const auto type : policy.candidates) {
    text += fmt::format("  - {:<8} # {} bits per weight\n", name_of(type), info(type).bits_per_weight());
  }
  text += policy.rules.empty() ? "rules: []\n" : "rules:\n";
  for (const auto& rule : policy.rules)
    text += fmt::format("  - {}  # {}\n", to_text(rule), rule.place.text());
  return text;
}

nlohmann::json to_json(const QuantPolicy& policy) {
  auto candidates = nlohmann::json::array();
  for (const auto type : policy.candidates) {
    candidates.push_back({{"type", name_of(type)}, {"bits_per_weight", info(type).bits_per_weight()}});
  }
  auto rules = nlohmann::json::array();
  for (const auto& rule : policy.rules) {
    nlohmann::json row = fields_of(rule);
    row["from"] = rule.place.text();
    rules.push_back(std::move(row));
  }
  return {{"profile", policy.profile},
          {"about", policy.about},
          {"candidates", std::move(candidates)},
          {"rules", std::move(rules)}};
}

}  // namespace tessera
