#include "model/forward/decoder_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera::model {
namespace {

/// What runtimes make of the architecture: there are no keys for it.
struct Experts {
  bool always = false;      ///< there is no dense form
  bool normalized = false;  ///< MixtureConfig::normalized
  bool shared = false;      ///< one expert more that every token passes
  bool own_width = false;  ///< expert_feed_forward_length counts; otherwise they are as wide as a dense block
};

struct Architecture {
  std::string_view name;  ///< general.architecture
  kernels::RopePairs pairs;
  std::optional<Experts> experts = std::nullopt;  ///< empty: dense only
};

constexpr std::array kArchitectures = {
    Architecture{"llama", kernels::RopePairs::interleaved, Experts{.normalized = true}},
    Architecture{"qwen2", kernels::RopePairs::half_split},
    Architecture{"qwen3", kernels::RopePairs::half_split},
    Architecture{"qwen2moe", kernels::RopePairs::half_split,
                 Experts{.always = true, .shared = true, .own_width = true}},
    Architecture{"qwen3moe", kernels::RopePairs::half_split,
                 Experts{.always = true, .normalized = true, .own_width = true}},
};

/// Bounds what a hostile file can make the engine allocate before a tensor contradicts it.
constexpr std::uint64_t kLargestSize = 1u << 24;

class ConfigReader {
 public:
  explicit ConfigReader(const OpenedModel& model) : model_(model), architecture_(architecture()) {}

  DecoderConfig read() {
    DecoderConfig config;
    config.layers = size("block_count");
    config.embedding = size("embedding_length");
    config.feed_forward = size("feed_forward_length");
    read_experts(config);
    config.heads = size("attention.head_count");
    config.kv_heads = optional_size("attention.head_count_kv").value_or(config.heads);
    config.head_size = optional_size("attention.key_length").value_or(config.embedding / config.heads);
    config.context = optional_size("context_length").value_or(0);
    config.norm_epsilon = static_cast<float>(positive("attention.layer_norm_rms_epsilon"));
    config.vocabulary = embedding_rows(config.embedding);
    config.tied_output = !model_.weights->find("output.weight");
    config.attention_windows = model_.attention_windows;
    check(config);
    config.rope = rope(config);
    return config;
  }

 private:
  const Architecture& architecture() const {
    const auto name = model_.metadata.text("general.architecture").value_or("");
    const auto found = std::ranges::find(kArchitectures, name, &Architecture::name);
    if (found != kArchitectures.end()) return *found;
    std::vector<std::string_view> known;
    for (const auto& architecture : kArchitectures) known.push_back(architecture.name);
    refuse(fmt::format("the forward pass does not know the architecture '{}'; it knows {}", printable(name),
                       fmt::join(known, ", ")));
  }

  void read_experts(DecoderConfig& config) const {
    const auto& experts = architecture_.experts;
    const bool says_none = model_.metadata.unsigned_integer(key("expert_count")) == 0;
    if ((says_none || !model_.metadata.contains(key("expert_count"))) && !(experts && experts->always))
      return;
    if (!experts) refuse(fmt::format("the architecture {} has no mixtures of experts", architecture_.name));
    MixtureConfig mixture{.experts = size("expert_count"),
                          .used = size("expert_used_count"),
                          .feed_forward = config.feed_forward,
                          .normalized = experts->normalized};
    if (mixture.used > mixture.experts) {
      refuse(fmt::format("a token cannot pass {} of {} experts ('{}')", mixture.used, mixture.experts,
                         key("expert_used_count")));
    }
    if (experts->own_width) {
      const auto width = optional_size("expert_feed_forward_length");
      mixture.feed_forward = width.value_or(std::max(config.feed_forward / mixture.used, 1u));
    }
    const auto shared = optional_size("expert_shared_feed_forward_length").value_or(config.feed_forward);
    config.feed_forward = experts->shared ? shared : 0;
    config.mixture = mixture;
  }

  std::optional<std::uint32_t> optional_size(std::string_view name) const {
    if (!model_.metadata.contains(key(name))) return std::nullopt;
    const auto value = model_.metadata.unsigned_integer(key(name));
    if (!value || *value == 0 || *value > kLargestSize) {
      refuse(fmt::format("metadata key '{}' must be one whole number from 1 to {}", key(name), kLargestSize));
    }
    return static_cast<std::uint32_t>(*value);
  }

  std::uint32_t size(std::string_view name) const {
    const auto value = optional_size(name);
    if (!value) refuse(fmt::format("metadata key '{}' is missing", key(name)));
    return *value;
  }

  std::optional<double> optional_positive(std::string_view name) const {
    if (!model_.metadata.contains(key(name))) return std::nullopt;
    const auto value = model_.metadata.real(key(name));
    if (!value || !(*value > 0) || *value > std::numeric_limits<float>::max()) {
      refuse(fmt::format("metadata key '{}' must be a positive number", key(name)));
    }
    return value;
  }

  double positive(std::string_view name) const {
    const auto value = optional_positive(name);
    if (!value) refuse(fmt::format("metadata key '{}' is missing", key(name)));
    return *value;
  }

  std::uint32_t embedding_rows(std::uint32_t width) const {
    const auto found = model_.weights->find("token_embd.weight");
    if (!found) refuse("tensor 'token_embd.weight' is missing");
    const auto& tensor = model_.weights->tensors()[*found];
    if (tensor.shape.size() != 2 || tensor.columns() != width || tensor.rows() > kLargestSize) {
      refuse(fmt::format("tensor 'token_embd.weight' has the shape [{}], {} columns were expected",
                         fmt::join(tensor.shape, ", "), width));
    }
    return static_cast<std::uint32_t>(tensor.rows());
  }

  void check(const DecoderConfig& config) const {
    if (config.heads % config.kv_heads != 0) {
      refuse(fmt::format("{} key/value heads do not divide {} heads", config.kv_heads, config.heads));
    }
    if (std::uint64_t{config.heads} * config.head_size > kLargestSize) {
      refuse(fmt::format("{} heads of {} are too many", config.heads, config.head_size));
    }
    const auto value_size = optional_size("attention.value_length").value_or(config.head_size);
    if (value_size != config.head_size) {
      refuse(fmt::format("value heads of {} beside key heads of {} are not supported", value_size,
                         config.head_size));
    }
  }

  kernels::RopeSettings rope(const DecoderConfig& config) const {
    kernels::RopeSettings rope;
    rope.pairs = architecture_.pairs;
    rope.dimensions = optional_size("rope.dimension_count").value_or(config.head_size);
    if (rope.dimensions > config.head_size || rope.dimensions % 2 != 0) {
      refuse(fmt::format("{} rotated dimensions do not fit heads of {}", rope.dimensions, config.head_size));
    }
    rope.base = optional_positive("rope.freq_base").value_or(rope.base);
    add_scaling(config, rope);
    rope.frequency_divisors = divisors(rope.dimensions);
    return rope;
  }

  void add_scaling(const DecoderConfig& config, kernels::RopeSettings& rope) const {
    const auto type = model_.metadata.text(key("rope.scaling.type")).value_or("none");
    if (type == "none") return;
    if (type != "linear" && type != "yarn") {
      refuse(
          fmt::format("RoPE scaling of the kind '{}' is not supported; supported are linear, yarn and "
                      "Llama 3's",
                      printable(type)));
    }
    rope.frequency_scale = 1.0 / positive("rope.scaling.factor");
    if (type == "linear") return;
    kernels::YarnSettings yarn;
    yarn.original_context = optional_size("rope.scaling.original_context_length").value_or(config.context);
    if (yarn.original_context == 0) refuse("YaRN needs the key 'rope.scaling.original_context_length'");
    yarn.extrapolation_mix = optional_positive("rope.scaling.yarn_ext_factor").value_or(1);
    yarn.attention_factor = optional_positive("rope.scaling.yarn_attn_factor");
    yarn.beta_fast = optional_positive("rope.scaling.yarn_beta_fast").value_or(yarn.beta_fast);
    yarn.beta_slow = optional_positive("rope.scaling.yarn_beta_slow").value_or(yarn.beta_slow);
    yarn.truncate = model_.metadata.boolean(key("rope.scaling.yarn_truncate")).value_or(yarn.truncate);
    rope.yarn = yarn;
  }

  std::vector<float> divisors(std::uint32_t dimensions) const {
    const auto found = model_.weights->find("rope_freqs.weight");
    if (!found) return {};
    const auto& tensor = model_.weights->tensors()[*found];
    if (tensor.type != ElementType::F32 || tensor.weights() != dimensions / 2) {
      refuse(fmt::format("tensor 'rope_freqs.weight' must hold {} values in F32", dimensions / 2));
    }
    std::vector<std::byte> scratch;
    const auto bytes = model_.weights->stored_rows(*found, {0, 1}, scratch);
    std::vector<float> values(dimensions / 2);
    std::memcpy(values.data(), bytes.data(), bytes.size());
    const auto is_usable = [](float value) {
      return value > 0 && value <= std::numeric_limits<float>::max();
    };
    if (!std::ranges::all_of(values, is_usable)) {
      refuse("tensor 'rope_freqs.weight' must hold positive numbers");
    }
    return values;
  }

  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_.name, name); }

  [[noreturn]] void refuse(const std::string& message) const {
    throw BadFileError({.file = model_.weights->name()}, message);
  }

  const OpenedModel& model_;
  const Architecture& architecture_;
};

}  // namespace

DecoderConfig read_decoder_config(const OpenedModel& model) { return ConfigReader(model).read(); }

}  // namespace tessera::model
