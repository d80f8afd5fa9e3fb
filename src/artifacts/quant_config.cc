#include "artifacts/quant_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

#include "artifacts/config_reader.h"
#include "artifacts/rule_reader.h"
#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/nearest_name.h"
#include "foundation/base/printable.h"

namespace tessera {
namespace {

constexpr double kMostBits = 32;           // F32
constexpr std::size_t kMostRules = 5'000;  // every rule is compared with every other
constexpr std::string_view kProfileSuffix = ".yaml";

std::string_view profile_name(const EmbeddedFile& file) {
  return file.name.substr(0, file.name.size() - kProfileSuffix.size());
}

std::vector<std::string_view> profile_names(std::span<const EmbeddedFile> profiles) {
  std::vector<std::string_view> names;
  for (const auto& file : profiles) names.push_back(profile_name(file));
  return names;
}

const EmbeddedFile* find_file(std::string_view name, std::span<const EmbeddedFile> profiles) {
  for (const auto& file : profiles) {
    if (profile_name(file) == name) return &file;
  }
  return nullptr;
}

std::vector<ElementType> read_candidates(const ConfigValue& value) {
  std::vector<ElementType> candidates;
  for (const auto& item : value.items_or_one()) {
    const auto type = read_weight_type(item);
    if (std::ranges::find(candidates, type) != candidates.end()) {
      item.refuse(fmt::format("candidate {} stands twice; remove one", name_of(type)));
    }
    candidates.push_back(type);
  }
  if (candidates.empty()) value.refuse("'candidates' is empty; list the types to choose from, or remove it");
  std::ranges::stable_sort(candidates, {}, [](ElementType type) { return info(type).bits_per_weight(); });
  return candidates;
}

SizeTarget read_bpw(const ConfigValue& value) {
  const double bits = value.number();
  if (bits <= 0 || bits > kMostBits) {
    value.refuse(fmt::format("target bpw must be above 0 and at most {}, and is {}", kMostBits, bits));
  }
  return {SizeTarget::Kind::bits_per_weight, bits};
}

SizeTarget read_size(const ConfigValue& value) {
  try {
    return {SizeTarget::Kind::file_bytes, static_cast<double>(parse_byte_size(value.text()))};
  } catch (const UsageError& error) {
    value.refuse(error.what());
  }
}

SizeTarget read_compression(const ConfigValue& value) {
  const double percent = value.number();
  if (percent <= 0 || percent >= 100) {
    value.refuse(
        fmt::format("target compression is the percentage saved, above 0 and below 100, and is {}", percent));
  }
  return {SizeTarget::Kind::compression, percent};
}

struct TargetKey {
  std::string_view name;
  SizeTarget (*read)(const ConfigValue&);
};

constexpr std::array<TargetKey, 3> kTargetKeys = {
    TargetKey{"bpw", read_bpw},
    TargetKey{"size", read_size},
    TargetKey{"compression", read_compression},
};

void read_target(QuantConfig& config, const ConfigValue& value) {
  std::vector<std::string_view> known;
  for (const auto& key : kTargetKeys) known.push_back(key.name);
  const auto fields = value.fields(known);
  if (fields.size() != 1) {
    value.refuse(fmt::format("target has {} values; give one of bpw, size and compression",
                             fields.empty() ? "no" : "several"));
  }
  config.target = std::ranges::find(kTargetKeys, fields[0].key, &TargetKey::name)->read(fields[0].value);
  config.target_place = fields[0].value.place();
}

void read_rules(QuantPolicy& policy, const ConfigValue& value) {
  for (const auto& item : value.items()) policy.rules.push_back(read_rule(item));
}

/// A path of the file is relative to the folder of the file.
std::filesystem::path read_path(const ConfigValue& value) {
  return std::filesystem::path(value.place().file).parent_path() / value.text();
}

void read_sensitivity(QuantConfig& config, const ConfigValue& value) {
  config.sensitivity = sensitivity_method_from_name(value.text());
  if (config.sensitivity) return;
  using enum SensitivityMethod;
  value.refuse_unknown("sensitivity", std::array{name_of(fisher), name_of(measured), name_of(prior)});
}

struct ConfigKey {
  std::string_view name;
  void (*read)(QuantConfig&, const ConfigValue&);
};

/// In the order in which they are applied: the profile before what changes it, exclusions after all rules.
constexpr std::array<ConfigKey, 8> kConfigKeys = {
    ConfigKey{"profile",
              [](QuantConfig& config, const ConfigValue& value) {
                const auto profiles = embedded_profiles();
                if (find_file(value.text(), profiles) == nullptr) {
                  value.refuse_unknown("profile", profile_names(profiles));
                }
                config.policy = resolve_profile(value.text(), profiles);
              }},
    ConfigKey{"target", read_target},
    ConfigKey{"imatrix",
              [](QuantConfig& config, const ConfigValue& value) { config.imatrix = read_path(value); }},
    ConfigKey{"data",
              [](QuantConfig& config, const ConfigValue& value) {
                for (const auto& item : value.items_or_one()) config.data.push_back(read_path(item));
              }},
    ConfigKey{"sensitivity", read_sensitivity},
    ConfigKey{"candidates",
              [](QuantConfig& config, const ConfigValue& value) {
                config.policy.candidates = read_candidates(value);
              }},
    ConfigKey{"rules",
              [](QuantConfig& config, const ConfigValue& value) { read_rules(config.policy, value); }},
    ConfigKey{"exclude",
              [](QuantConfig& config, const ConfigValue& value) {
                for (const auto& item : value.items_or_one()) {
                  config.policy.rules.push_back(read_exclusion(item));
                }
              }},
};

void require_moderate_number(const QuantPolicy& policy) {
  if (policy.rules.size() <= kMostRules) return;
  throw BadFileError(
      {.file = policy.rules[kMostRules].place.text()},
      fmt::format("more than {} rules and exclusions; name several tensors in one rule, or use "
                  "globs",
                  kMostRules));
}

/// The user's limits must leave something to choose.
void require_candidates(const QuantPolicy& policy) {
  for (const auto& rule : policy.rules) {
    if (rule.place.built_in || !(rule.min_bits || rule.max_bits)) continue;
    TensorLimits limits;
    if (rule.min_bits) limits.min_bits = *rule.min_bits;
    if (rule.max_bits) limits.max_bits = *rule.max_bits;
    if (std::ranges::any_of(policy.candidates, [&](ElementType type) { return limits.allows(type); }))
      continue;
    throw BadFileError(
        {.file = rule.place.text()},
        fmt::format(
            "none of the candidates has between {} and {} bits per weight: they have {} to {}; change "
            "the limits, or add a candidate",
            limits.min_bits, limits.max_bits, info(policy.candidates.front()).bits_per_weight(),
            info(policy.candidates.back()).bits_per_weight()));
  }
}

/// `chain`: the profiles that extend this one, outermost first.
QuantPolicy read_profile(const EmbeddedFile& file, std::span<const EmbeddedFile> profiles,
                         std::vector<std::string_view> chain);

QuantPolicy read_extended(const ConfigValue& value, std::span<const EmbeddedFile> profiles,
                          const std::vector<std::string_view>& chain) {
  const auto* const file = find_file(value.text(), profiles);
  if (file == nullptr) value.refuse_unknown("profile", profile_names(profiles));
  if (std::ranges::find(chain, std::string_view(value.text())) != chain.end()) {
    value.refuse(fmt::format("profile '{}' extends itself; remove one 'extends'", value.text()));
  }
  return read_profile(*file, profiles, chain);
}

QuantPolicy read_profile(const EmbeddedFile& file, std::span<const EmbeddedFile> profiles,
                         std::vector<std::string_view> chain) {
  static constexpr std::array<std::string_view, 5> kKeys = {"name", "about", "extends", "candidates",
                                                            "rules"};
  chain.push_back(profile_name(file));
  const SourceLine place{fmt::format("profile {}", profile_name(file)), 0, true};
  const auto root = parse_config(file.text, place);
  const ConfigValue value(root, place, "profile");
  const auto fields = value.fields(kKeys);
  const auto find = [&](std::string_view key) { return std::ranges::find(fields, key, &ConfigField::key); };
  QuantPolicy policy;
  if (find("extends") != fields.end()) policy = read_extended(find("extends")->value, profiles, chain);
  for (const std::string_view key : {"name", "about"}) {
    if (find(key) == fields.end()) value.refuse(fmt::format("the profile lacks '{}'; add it", key));
  }
  policy.profile = find("name")->value.text();
  policy.about = find("about")->value.text();
  if (policy.profile != profile_name(file))
    find("name")->value.refuse("a file is called after its profile; rename one");
  if (find("candidates") != fields.end()) policy.candidates = read_candidates(find("candidates")->value);
  if (find("rules") != fields.end()) read_rules(policy, find("rules")->value);
  if (policy.candidates.empty()) value.refuse("the profile has no candidates; list some");
  return policy;
}

}  // namespace

std::string text_of(const SizeTarget& target) {
  switch (target.kind) {
    case SizeTarget::Kind::bits_per_weight:
      return fmt::format("{} bits per weight", target.value);
    case SizeTarget::Kind::file_bytes:
      return fmt::format("{:.0f} bytes", target.value);
    case SizeTarget::Kind::compression:
      return fmt::format("{} % saved", target.value);
  }
  return "unknown";
}

std::uint64_t parse_byte_size(std::string_view text) {
  struct Unit {
    std::string_view name;
    double bytes;
  };
  static constexpr std::array<Unit, 14> kUnits = {
      Unit{"", 1},         Unit{"b", 1},        Unit{"k", 1e3},      Unit{"kb", 1e3},     Unit{"m", 1e6},
      Unit{"mb", 1e6},     Unit{"g", 1e9},      Unit{"gb", 1e9},     Unit{"t", 1e12},     Unit{"tb", 1e12},
      Unit{"kib", 0x1p10}, Unit{"mib", 0x1p20}, Unit{"gib", 0x1p30}, Unit{"tib", 0x1p40},
  };
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  std::string unit(rest, end);
  unit.erase(0, unit.find_first_not_of(' '));
  std::ranges::transform(unit, unit.begin(), [](unsigned char letter) { return std::tolower(letter); });
  const auto* const found = std::ranges::find(kUnits, unit, &Unit::name);
  const double bytes = found == kUnits.end() ? 0 : std::floor(number * found->bytes);
  if (error != std::errc() || !(bytes >= 1 && bytes < 0x1p63)) {
    throw UsageError(
        fmt::format("'{}' is no size; write one such as 3.5GiB (powers of 1024), 900MB (powers of "
                    "1000) or a number of bytes",
                    printable(text)));
  }
  return static_cast<std::uint64_t>(bytes);
}

QuantConfig parse_quant_config(std::string_view text, const std::string& file) {
  const SourceLine place{file, 0};
  const auto root = parse_config(text, place);
  std::vector<std::string_view> known;
  for (const auto& key : kConfigKeys) known.push_back(key.name);
  const auto fields = ConfigValue(root, place, "configuration").fields(known);
  QuantConfig config;
  config.policy = find_profile(kDefaultProfile);
  for (const auto& key : kConfigKeys) {
    const auto field = std::ranges::find(fields, key.name, &ConfigField::key);
    if (field != fields.end()) key.read(config, field->value);
  }
  require_moderate_number(config.policy);
  require_consistent(config.policy.rules);
  require_candidates(config.policy);
  return config;
}

QuantConfig read_quant_config(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  const auto bytes = mapped.bytes();
  return parse_quant_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file.string());
}

QuantPolicy resolve_profile(std::string_view name, std::span<const EmbeddedFile> profiles) {
  if (const auto* const file = find_file(name, profiles)) return read_profile(*file, profiles, {});
  const auto names = profile_names(profiles);
  throw UsageError(fmt::format("unknown profile '{}'{} (known: {})", printable(name),
                               did_you_mean(name, names), fmt::join(names, ", ")));
}

std::vector<QuantPolicy> built_in_profiles() {
  std::vector<QuantPolicy> policies;
  for (const auto& file : embedded_profiles()) {
    policies.push_back(resolve_profile(profile_name(file), embedded_profiles()));
  }
  return policies;
}

QuantPolicy find_profile(std::string_view name) { return resolve_profile(name, embedded_profiles()); }

}  // namespace tessera
