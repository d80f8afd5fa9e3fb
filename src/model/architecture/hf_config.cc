#include "model/architecture/hf_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/architecture/family.h"
#include "model/architecture/metadata_reader.h"
#include "model/architecture/rope_scaling.h"
#include "model/architecture/tensor_name.h"

namespace tessera::model {
namespace {

/// Tensors that the family's class has all of or none, as one key says.
struct BiasRule {
  std::string_view config_key;
  std::array<std::string_view, 4> tensors;  ///< empty ones are none
};

constexpr std::array kLlamaBiases = {
    BiasRule{"attention_bias",
             {"blk.{}.attn_q.bias", "blk.{}.attn_k.bias", "blk.{}.attn_v.bias", "blk.{}.attn_output.bias"}},
    BiasRule{"mlp_bias", {"blk.{}.ffn_gate.bias", "blk.{}.ffn_up.bias", "blk.{}.ffn_down.bias"}},
};

/// The class that stands for a GGUF architecture.
struct ClassRule {
  std::string_view gguf_architecture;
  std::string_view hf_architecture;
  std::string_view model_type;  ///< of config.json
  std::span<const BiasRule> biases;
};

constexpr std::array kClasses = {
    ClassRule{"llama", "LlamaForCausalLM", "llama", kLlamaBiases},
    ClassRule{"qwen2", "Qwen2ForCausalLM", "qwen2", {}},
    ClassRule{"qwen3", "Qwen3ForCausalLM", "qwen3", {}},
};

/// Keys that say nothing that config.json would have to repeat.
constexpr std::array<std::string_view, 4> kSilentKeys = {"rope.scaling.finetuned", "tensor_data_layout",
                                                         "expert_count", "expert_used_count"};

constexpr std::string_view kNormEpsilon = "attention.layer_norm_rms_epsilon";

class ConfigMaker {
 public:
  ConfigMaker(const gguf::Metadata& metadata, const WeightSource& weights)
      : all_(metadata),
        metadata_(metadata, weights.name()),
        weights_(weights),
        class_(class_of()),
        family_(*find_family(class_.hf_architecture)) {}

  json::Value make() const {
    refuse_experts();
    refuse_unknown_keys();
    json::Value config = {{"architectures", {class_.hf_architecture}},
                          {"model_type", class_.model_type},
                          {"hidden_act", "silu"},
                          {"tie_word_embeddings", !weights_.find("output.weight")},
                          {"vocab_size", vocabulary()}};
    add_sizes(config);
    const auto epsilon = metadata_.positive(kNormEpsilon);
    if (!epsilon) metadata_.fail(kNormEpsilon, "is missing");
    config["rms_norm_eps"] = *epsilon;
    const std::uint32_t head_size = metadata_.size("attention.key_length")
                                        .value_or(need("embedding_length") / need("attention.head_count"));
    check_heads(head_size);
    add_rope_settings(metadata_, need("context_length"), head_size, divisors(), config);
    for (const BiasRule& rule : class_.biases) config[std::string(rule.config_key)] = has_biases(rule);
    return config;
  }

 private:
  const ClassRule& class_of() const {
    const auto found = std::ranges::find(kClasses, metadata_.architecture(), &ClassRule::gguf_architecture);
    if (found != kClasses.end()) return *found;
    std::vector<std::string_view> known;
    for (const ClassRule& rule : kClasses) known.push_back(rule.gguf_architecture);
    refuse({}, fmt::format("the architecture '{}' cannot be written as a Hugging Face folder; known are {}",
                           printable(metadata_.architecture()), fmt::join(known, ", ")));
  }

  void refuse_experts() const {
    const auto key = fmt::format("{}.expert_count", metadata_.architecture());
    if (all_.contains(key) && all_.unsigned_integer(key) != 0u)
      refuse({}, "mixtures of experts cannot be written as a Hugging Face folder yet");
  }

  /// What is not understood may change what the model computes.
  void refuse_unknown_keys() const {
    const std::string prefix = metadata_.architecture() + ".";
    for (const auto& [name, value] : all_.entries()) {
      if (!name.starts_with(prefix)) continue;
      const std::string_view key = std::string_view(name).substr(prefix.size());
      const bool known = std::ranges::any_of(family_.metadata, [&](const MetadataRule& rule) {
        const bool is_group = rule.value == MetadataValue::rope_scaling;
        return is_group ? key.starts_with(rule.key) : !rule.key.empty() && key == rule.key;
      });
      if (!known && !is_size_key(key) && std::ranges::count(kSilentKeys, key) == 0)
        metadata_.fail(key, fmt::format("has no place in the config.json of {}", class_.hf_architecture));
    }
  }

  /// Sizes that follow from the tensors, and that files of all families may repeat.
  static bool is_size_key(std::string_view key) {
    return key == "vocab_size" || key == "rope.dimension_count";
  }

  void add_sizes(json::Value& config) const {
    for (const SizeRule& size : family_.sizes) {
      const auto rule = std::ranges::find_if(family_.metadata, [&](const MetadataRule& candidate) {
        const bool is_size =
            candidate.value == MetadataValue::size || candidate.value == MetadataValue::size_if_given;
        return is_size && candidate.quantity == size.quantity && size.quantity != Quantity::vocabulary;
      });
      if (rule == family_.metadata.end()) continue;
      auto value = metadata_.size(rule->key);
      if (!value && size.quantity == Quantity::kv_heads) value = metadata_.size("attention.head_count");
      const bool may_miss = size.quantity == Quantity::head_size;
      if (!value && !may_miss) metadata_.fail(rule->key, "is missing");
      if (value) config[std::string(size.config_key)] = *value;
    }
  }

  void check_heads(std::uint32_t head_size) const {
    for (const std::string_view key : {"attention.value_length", "rope.dimension_count"}) {
      const auto value = metadata_.size(key);
      if (value && *value != head_size)
        metadata_.fail(key, fmt::format("is {} where the heads have {}, which config.json cannot say", *value,
                                        head_size));
    }
  }

  std::uint32_t need(std::string_view key) const {
    const auto value = metadata_.size(key);
    if (!value) metadata_.fail(key, "is missing");
    return *value;
  }

  std::uint64_t vocabulary() const {
    const auto found = weights_.find("token_embd.weight");
    if (!found) refuse("token_embd.weight", "this tensor is missing");
    return weights_.tensors()[*found].rows();
  }

  std::vector<float> divisors() const {
    constexpr std::string_view kName = "rope_freqs.weight";
    const auto found = weights_.find(kName);
    if (!found) return {};
    const TensorDescriptor& tensor = weights_.tensors()[*found];
    if (tensor.type != ElementType::F32 || tensor.shape.size() != 1)
      refuse(kName, "F32 values were expected");
    std::vector<std::byte> scratch;
    const auto bytes = weights_.stored_rows(*found, {0, 1}, scratch);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  bool has_biases(const BiasRule& rule) const {
    const auto patterns =
        std::span(rule.tensors)
            .first(static_cast<std::size_t>(std::ranges::find(rule.tensors, "") - rule.tensors.begin()));
    const auto found = std::ranges::count_if(weights_.tensors(), [&](const TensorDescriptor& tensor) {
      return std::ranges::any_of(
          patterns, [&](std::string_view pattern) { return indices_of(pattern, tensor.name).has_value(); });
    });
    if (static_cast<std::uint64_t>(found) == std::uint64_t{need("block_count")} * patterns.size())
      return true;
    if (found == 0) return false;
    refuse({}, fmt::format("some layers have the tensors {} and some have not; {} has all or none",
                           fmt::join(patterns, ", "), class_.hf_architecture));
  }

  [[noreturn]] void refuse(std::string_view tensor, const std::string& message) const {
    throw BadFileError({.file = weights_.name(), .tensor = std::string(tensor)}, message);
  }

  const gguf::Metadata& all_;
  MetadataReader metadata_;
  const WeightSource& weights_;
  const ClassRule& class_;
  const Family& family_;
};

}  // namespace

json::Value config_of_metadata(const gguf::Metadata& metadata, const WeightSource& weights) {
  return ConfigMaker(metadata, weights).make();
}

}  // namespace tessera::model
