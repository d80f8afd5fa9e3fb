#include "artifacts/recipe.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <functional>
#include <map>

#include "artifacts/embedded_files.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

[[noreturn]] void refuse(const std::string& origin, const std::string& what) {
  throw BadFileError({.file = origin}, what);
}

std::uint32_t parse_number(std::string_view text, const std::string& origin) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    refuse(origin, fmt::format("'{}' is not a number", text));
  }
  return value;
}

LayerBound parse_bound(std::string_view text, const std::string& origin) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return {parse_number(text, origin), 0};
  const LayerBound bound{parse_number(text.substr(0, slash), origin),
                         parse_number(text.substr(slash + 1), origin)};
  if (bound.denominator == 0) refuse(origin, fmt::format("'{}' divides by zero", text));
  return bound;
}

/// "BEGIN..END every N from K"
LayerInterval parse_interval(std::string_view text, const std::string& origin) {
  LayerInterval interval;
  constexpr std::string_view kEvery = " every ";
  constexpr std::string_view kFrom = " from ";
  if (const auto every = text.find(kEvery); every != std::string_view::npos) {
    const auto from = text.find(kFrom, every);
    if (from == std::string_view::npos) refuse(origin, fmt::format("'{}' lacks 'from'", text));
    const auto step_start = every + kEvery.size();
    interval.every = parse_number(text.substr(step_start, from - step_start), origin);
    interval.from = parse_number(text.substr(from + kFrom.size()), origin);
    if (interval.every == 0) refuse(origin, fmt::format("'{}' has a step of zero", text));
    text = text.substr(0, every);
  }
  const auto dots = text.find("..");
  if (dots == std::string_view::npos) refuse(origin, fmt::format("'{}' is not BEGIN..END", text));
  interval.begin = parse_bound(text.substr(0, dots), origin);
  const auto end = text.substr(dots + 2);
  if (!end.empty()) interval.end = parse_bound(end, origin);
  return interval;
}

ElementType parse_type(const std::string& name, const std::string& origin) {
  const auto type = element_type_from_name(name);
  if (!type || !is_weight_type(*type)) refuse(origin, fmt::format("unknown tensor type '{}'", name));
  return *type;
}

model::TensorRole parse_role(const std::string& name, const std::string& origin) {
  const auto role = model::tensor_role_from_name(name);
  if (!role) refuse(origin, fmt::format("unknown tensor role '{}'", name));
  return *role;
}

/// A list, or a single item standing for a list of one.
std::vector<std::string> texts_of(const YAML::Node& node) {
  if (node.IsSequence()) return node.as<std::vector<std::string>>();
  return {node.as<std::string>()};
}

using RuleField = std::function<void(RecipeRule&, const YAML::Node&, const std::string& origin)>;

template <class T>
RuleField scalar(std::optional<T> RecipeRule::*member) {
  return
      [member](RecipeRule& rule, const YAML::Node& node, const std::string&) { rule.*member = node.as<T>(); };
}

const std::map<std::string, RuleField>& rule_fields() {
  static const std::map<std::string, RuleField> fields = {
      {"type", [](auto& rule, const auto& node,
                  const auto& origin) { rule.type = parse_type(node.template as<std::string>(), origin); }},
      {"role",
       [](auto& rule, const auto& node, const auto& origin) {
         for (const auto& name : texts_of(node)) rule.roles.push_back(parse_role(name, origin));
       }},
      {"layers",
       [](auto& rule, const auto& node, const auto& origin) {
         for (const auto& text : texts_of(node)) rule.layers.push_back(parse_interval(text, origin));
       }},
      {"architecture",
       [](auto& rule, const auto& node, const auto&) { rule.architectures = texts_of(node); }},
      {"layer_count", scalar(&RecipeRule::layer_count)},
      {"min_gqa", scalar(&RecipeRule::min_gqa)},
      {"experts", scalar(&RecipeRule::experts)},
      {"min_experts", scalar(&RecipeRule::min_experts)},
      {"stacked", scalar(&RecipeRule::stacked)},
      {"imatrix", scalar(&RecipeRule::imatrix)},
      {"fits", scalar(&RecipeRule::fits)},
  };
  return fields;
}

RecipeRule parse_rule(const YAML::Node& node, const std::string& origin) {
  RecipeRule rule;
  if (!node.IsMap() || !node["type"]) refuse(origin, "a rule needs a 'type'");
  for (const auto& field : node) {
    const auto key = field.first.as<std::string>();
    const auto found = rule_fields().find(key);
    if (found == rule_fields().end()) refuse(origin, fmt::format("unknown rule condition '{}'", key));
    found->second(rule, field.second, origin);
  }
  return rule;
}

constexpr std::array<std::string_view, 7> kRecipeKeys = {"name", "aliases",       "about", "file_type",
                                                         "type", "needs_imatrix", "rules"};

void require_known_keys(const YAML::Node& root, const std::string& origin) {
  for (const auto& field : root) {
    const auto key = field.first.as<std::string>();
    if (std::ranges::find(kRecipeKeys, key) == kRecipeKeys.end())
      refuse(origin, fmt::format("unknown key '{}'", key));
  }
  for (const char* key : {"name", "about", "file_type", "type"}) {
    if (!root[key]) refuse(origin, fmt::format("missing key '{}'", key));
  }
}

bool same_ignoring_case(std::string_view left, std::string_view right) {
  return std::ranges::equal(
      left, right, [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

}  // namespace

std::uint32_t LayerBound::resolve(std::uint32_t layer_count) const {
  if (denominator == 0) return numerator;
  return static_cast<std::uint32_t>(std::uint64_t{numerator} * layer_count / denominator);
}

bool LayerInterval::contains(std::uint32_t layer, std::uint32_t layer_count) const {
  const std::uint32_t first = begin.resolve(layer_count) + from;
  const std::uint32_t last = end ? end->resolve(layer_count) : layer_count;
  return layer >= first && layer < last && (layer - first) % every == 0;
}

Recipe parse_recipe(std::string_view yaml, const std::string& origin) try {
  const YAML::Node root = YAML::Load(std::string(yaml));
  if (!root.IsMap()) refuse(origin, "a recipe is a mapping of keys");
  require_known_keys(root, origin);
  Recipe recipe;
  recipe.name = root["name"].as<std::string>();
  if (root["aliases"]) recipe.aliases = texts_of(root["aliases"]);
  recipe.about = root["about"].as<std::string>();
  recipe.file_type = root["file_type"].as<std::uint32_t>();
  recipe.type = parse_type(root["type"].as<std::string>(), origin);
  if (root["needs_imatrix"]) recipe.needs_imatrix = root["needs_imatrix"].as<bool>();
  for (const auto& rule : root["rules"]) recipe.rules.push_back(parse_rule(rule, origin));
  return recipe;
} catch (const YAML::Exception& error) {
  refuse(origin, fmt::format("not a valid recipe: {}", error.what()));
}

std::vector<Recipe> built_in_recipes() {
  std::vector<Recipe> recipes;
  for (const auto& file : embedded_recipes())
    recipes.push_back(parse_recipe(file.text, std::string(file.name)));
  std::ranges::sort(recipes, {}, &Recipe::file_type);
  return recipes;
}

std::optional<Recipe> find_recipe(std::string_view name) {
  for (const auto& file : embedded_recipes()) {
    // A file is named after its recipe, so that only the one asked for is parsed.
    if (!same_ignoring_case(file.name, std::string(name) + ".yaml")) continue;
    return parse_recipe(file.text, std::string(file.name));
  }
  for (auto& recipe : built_in_recipes()) {
    for (const auto& alias : recipe.aliases) {
      if (same_ignoring_case(alias, name)) return std::move(recipe);
    }
  }
  return std::nullopt;
}

}  // namespace tessera
