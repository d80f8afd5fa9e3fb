#include "model/architecture/rope_scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>

#include "foundation/base/printable.h"

namespace tessera::model {
namespace {

using json::JsonObject;

double positive(const JsonObject& parameters, std::string_view key, std::optional<double> otherwise = {}) {
  const auto value = parameters.real(key);
  if (!value && !otherwise) parameters.fail(key, "is missing, this kind of RoPE scaling needs it");
  if (value && *value <= 0) parameters.fail(key, fmt::format("is {}, it must be positive", *value));
  return value ? *value : *otherwise;
}

std::uint32_t original_context(const JsonObject& config, const JsonObject& parameters,
                               std::uint32_t context) {
  constexpr std::string_view kKey = "original_max_position_embeddings";
  if (const auto outside = config.count(kKey)) return *outside;
  return parameters.count(kKey).value_or(context);
}

/// Original contexts that are tried to explain Llama 3's divisors: powers of two.
constexpr std::uint32_t kShortestOriginal = 1u << 5;
constexpr std::uint32_t kLongestOriginal = 1u << 20;

/// YaRN's optional settings: the keys of config.json (the first one given counts) and of GGUF.
struct YarnRule {
  std::string_view key;
  std::string_view other_key;
  std::string_view gguf_key;
};

constexpr std::array kYarnRules = {
    YarnRule{"extrapolation_factor", "", "yarn_ext_factor"},
    YarnRule{"attention_factor", "attn_factor", "yarn_attn_factor"},
    YarnRule{"beta_fast", "", "yarn_beta_fast"},
    YarnRule{"beta_slow", "", "yarn_beta_slow"},
};

void add_yarn(const JsonObject& parameters, std::uint32_t original, RopeScaling& rope) {
  rope.metadata.emplace_back("type", std::string("yarn"));
  rope.metadata.emplace_back("factor", static_cast<float>(positive(parameters, "factor")));
  rope.metadata.emplace_back("original_context_length", original);
  if (const auto truncate = parameters.boolean("truncate"))
    rope.metadata.emplace_back("yarn_truncate", *truncate);
  for (const auto& rule : kYarnRules) {
    auto value = parameters.real(rule.key);
    if (!value && !rule.other_key.empty()) value = parameters.real(rule.other_key);
    if (value) rope.metadata.emplace_back(rule.gguf_key, static_cast<float>(*value));
  }
}

void add_yarn_settings(const MetadataReader& metadata, std::uint32_t context, json::Value& settings) {
  settings["original_max_position_embeddings"] =
      metadata.size("rope.scaling.original_context_length").value_or(context);
  if (const auto truncate = metadata.flag("rope.scaling.yarn_truncate")) settings["truncate"] = *truncate;
  for (const auto& rule : kYarnRules) {
    if (const auto value = metadata.positive(fmt::format("rope.scaling.{}", rule.gguf_key)))
      settings[rule.key] = *value;
  }
}

/// Llama 3's rule (Llama 3.1 reference code, as in transformers' modeling_rope_utils): frequencies whose
/// wavelength exceeds original / low are divided by factor, those below original / high are kept, and between
/// the two the divisor is interpolated. Computed in float32 and in the same steps as the converter, to give
/// the same bits.
std::vector<float> llama3_divisors(const JsonObject& parameters, double base, double original,
                                   std::uint32_t head_size) {
  const auto factor = static_cast<float>(positive(parameters, "factor", 8.0));
  const double low = positive(parameters, "low_freq_factor", 1.0);
  const double high = positive(parameters, "high_freq_factor", 4.0);
  if (high <= low) parameters.fail("high_freq_factor", "must be larger than low_freq_factor");
  const auto longest = static_cast<float>(original / low);
  const auto shortest = static_cast<float>(original / high);
  std::vector<float> divisors;
  for (std::uint32_t i = 0; i < head_size; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_size);
    const auto power = static_cast<float>(std::pow(base, static_cast<double>(exponent)));
    const float frequency = 1.0f / power;
    const float wavelength = (1.0f / frequency) * static_cast<float>(2 * std::numbers::pi);
    const float smooth = ((1.0f / wavelength) * static_cast<float>(original) - static_cast<float>(low)) /
                         static_cast<float>(high - low);
    const float between = 1.0f / ((1.0f - smooth) / factor + smooth);
    divisors.push_back(wavelength < shortest ? 1.0f : wavelength > longest ? factor : between);
  }
  return divisors;
}

/// Settings that give `divisors` bit for bit. They are told apart up to a common factor of both frequency
/// factors and the original context, which changes nothing; all published models have 1 and 4.
json::Value llama3_settings(const MetadataReader& metadata, double base, std::uint32_t head_size,
                            std::span<const float> divisors) {
  constexpr std::string_view kTensor = "rope_freqs.weight";
  json::Value settings = {{"rope_type", "llama3"}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  // The lowest frequency has the whole factor, unless the model was stretched by less than its heads can
  // tell.
  settings["factor"] = divisors.empty() ? 1.0 : static_cast<double>(divisors.back());
  for (std::uint32_t original = kLongestOriginal; original >= kShortestOriginal; original /= 2) {
    settings["original_max_position_embeddings"] = original;
    const JsonObject parameters(settings.dump(), std::string(kTensor));
    if (std::ranges::equal(llama3_divisors(parameters, base, original, head_size), divisors)) return settings;
  }
  metadata.fail(
      "rope.freq_base",
      fmt::format("and the tensor {} scale frequencies in a way that config.json has no settings for",
                  kTensor));
}

}  // namespace

void add_rope_settings(const MetadataReader& metadata, std::uint32_t context, std::uint32_t head_size,
                       std::span<const float> divisors, json::Value& config) {
  const double base = metadata.positive("rope.freq_base").value_or(kDefaultRopeBase);
  config["rope_theta"] = base;
  const std::string type = metadata.text("rope.scaling.type").value_or("none");
  if (type != "none" && type != "linear" && type != "yarn")
    metadata.fail("rope.scaling.type",
                  fmt::format("is '{}'; supported are linear and yarn", printable(type)));
  if (!divisors.empty()) {
    if (type != "none") metadata.fail("rope.scaling.type", "comes together with Llama 3's divisors");
    config["rope_scaling"] = llama3_settings(metadata, base, head_size, divisors);
    return;
  }
  if (type == "none") return;
  const auto factor = metadata.positive("rope.scaling.factor");
  if (!factor) metadata.fail("rope.scaling.factor", "is missing, this kind of scaling needs it");
  config["rope_scaling"] = {{"rope_type", type}, {"factor", *factor}};
  if (type == "yarn") add_yarn_settings(metadata, context, config["rope_scaling"]);
}

RopeScaling read_rope_scaling(const JsonObject& config, std::uint32_t context, std::uint32_t head_size,
                              double default_base) {
  const JsonObject parameters =
      config.object(config.contains("rope_scaling") ? "rope_scaling" : "rope_parameters");
  for (const std::string_view key : {"full_attention", "sliding_attention"}) {
    if (parameters.contains(key))
      parameters.fail(key, "gives layers different RoPE settings, which is not supported");
  }
  RopeScaling rope;
  rope.base = positive(parameters, "rope_theta", positive(config, "rope_theta", default_base));
  const auto named = parameters.text("rope_type");
  const std::string type = named ? *named : parameters.text("type").value_or("default");
  if (type == "linear") {
    rope.metadata.emplace_back("type", type);
    rope.metadata.emplace_back("factor", static_cast<float>(positive(parameters, "factor")));
  } else if (type == "yarn") {
    add_yarn(parameters, original_context(config, parameters, context), rope);
  } else if (type == "llama3") {
    rope.frequency_divisors =
        llama3_divisors(parameters, rope.base, original_context(config, parameters, context), head_size);
  } else if (type != "default" &&
             type != "dynamic") {  // dynamic scaling acts at run time only, nothing is stored
    parameters.fail(
        "rope_type",
        fmt::format("is \"{}\"; supported are default, linear, dynamic, yarn and llama3", printable(type)));
  }
  return rope;
}

}  // namespace tessera::model
