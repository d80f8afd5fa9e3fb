#include "artifacts/smoothing_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "artifacts/config_reader.h"
#include "artifacts/rule_reader.h"
#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "model/architecture/smoothing_fold.h"

namespace tessera {
namespace {

using Kind = SmoothingStrength::Kind;

SmoothingStrength read_strength(const ConfigValue& value) {
  try {
    return smoothing_strength_from(value.text());
  } catch (const UsageError& error) {
    value.refuse(error.what());
  }
}

std::vector<std::string> read_folds(const ConfigValue& value) {
  std::vector<std::string> folds;
  const auto known = model::fold_names();
  for (const auto& item : some_items(value)) {
    if (std::ranges::find(known, item.text()) == known.end()) item.refuse_unknown("fold", known);
    folds.push_back(item.text());
  }
  return folds;
}

SmoothingRule read_smoothing_rule(const ConfigValue& value) {
  constexpr std::array<std::string_view, 3> kKeys = {"layers", "folds", "alpha"};
  SmoothingRule rule;
  bool has_alpha = false;
  for (const auto& field : value.fields(kKeys)) {
    if (field.key == "folds") rule.folds = read_folds(field.value);
    if (field.key == "layers") {
      for (const auto& item : some_items(field.value)) rule.layers.push_back(read_layers(item));
    }
    if (field.key == "alpha") {
      rule.strength = read_strength(field.value);
      has_alpha = true;
    }
  }
  if (!has_alpha) value.refuse("the rule has no alpha, and so no effect; give it one, or remove it");
  return rule;
}

std::string text_of(const LayerSelection& layers) {
  using From = LayerSelection::From;
  if (layers.from == From::number) return fmt::format("{}-{}", layers.begin, layers.end);
  return fmt::format("{} {}", layers.from == From::first ? "first" : "last", layers.end);
}

}  // namespace

SmoothingStrength smoothing_strength_from(std::string_view text) {
  if (text == "auto") return {.kind = Kind::automatic};
  if (text == "none") return {.kind = Kind::none};
  double alpha = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, alpha);
  if (error != std::errc() || rest != end || !(alpha >= 0 && alpha <= 1)) {
    throw UsageError(fmt::format(
        "alpha is '{}'; write a number from 0 to 1 (0.5 is usual; more moves more of the outliers "
        "into the weights), auto or none",
        printable(text)));
  }
  return {.kind = Kind::fixed, .alpha = alpha};
}

std::string text_of(const SmoothingStrength& strength) {
  if (strength.kind == Kind::automatic) return "auto";
  return strength.kind == Kind::none ? "none" : fmt::format("{:g}", strength.alpha);
}

SmoothingStrength SmoothingConfig::strength_of(std::string_view fold, std::uint32_t layer,
                                               std::uint32_t layer_count) const {
  SmoothingStrength result = strength;
  for (const auto& rule : rules) {
    const bool in_layers = rule.layers.empty() || std::ranges::any_of(rule.layers, [&](const auto& layers) {
                             return layers.contains(layer, layer_count);
                           });
    const bool in_folds = rule.folds.empty() || std::ranges::find(rule.folds, fold) != rule.folds.end();
    if (in_layers && in_folds) result = rule.strength;
  }
  return result;
}

std::string text_of(const SmoothingConfig& config) {
  std::string text = fmt::format("alpha={}", text_of(config.strength));
  for (const auto& rule : config.rules) {
    text += " [";
    for (const auto& layers : rule.layers) text += fmt::format("layers {} ", text_of(layers));
    for (const auto& fold : rule.folds) text += fmt::format("{} ", fold);
    text += fmt::format("alpha={}]", text_of(rule.strength));
  }
  return text;
}

SmoothingConfig parse_smoothing_config(std::string_view text, const std::string& file) {
  constexpr std::array<std::string_view, 2> kKeys = {"alpha", "rules"};
  const SourceLine place{file, 0};
  const auto root = parse_config(text, place);
  SmoothingConfig config;
  for (const auto& field : ConfigValue(root, place, "configuration").fields(kKeys)) {
    if (field.key == "alpha") config.strength = read_strength(field.value);
    if (field.key != "rules") continue;
    for (const auto& item : field.value.items()) config.rules.push_back(read_smoothing_rule(item));
  }
  return config;
}

SmoothingConfig read_smoothing_config(const std::filesystem::path& path) {
  const MappedFile mapped(path);
  const auto bytes = mapped.bytes();
  return parse_smoothing_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

}  // namespace tessera
