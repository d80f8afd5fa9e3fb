#include "model/architecture/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <vector>

#include "foundation/base/printable.h"

namespace tessera::model {
namespace {

using json::JsonObject;

std::string supported_families() {
  std::vector<std::string_view> names;
  for (const Family& family : all_families()) names.push_back(family.hf_architecture);
  return fmt::format("supported are {}", fmt::join(names, ", "));
}

const Family& family_of(const JsonObject& config) {
  const auto* architectures = config.find("architectures");
  if (architectures == nullptr || !architectures->is_array() || architectures->empty() ||
      !architectures->front().is_string()) {
    config.fail("architectures", fmt::format("does not name the model's family; {}", supported_families()));
  }
  const auto name = architectures->front().get<std::string>();
  const Family* family = find_family(name);
  if (family == nullptr) {
    config.fail("architectures",
                fmt::format("names the unsupported family {}; {}", printable(name), supported_families()));
  }
  return *family;
}

/// FP8 with block scales is decoded while reading and W8A8 is read as it is; all other quantized checkpoints
/// hold tensors of their own kind.
std::optional<Int8Scheme> read_quantization(const JsonObject& config) {
  const JsonObject quantization = config.object("quantization_config");
  const auto method = quantization.text("quant_method");
  if (method == "compressed-tensors") return read_int8_scheme(quantization);
  if (method && *method != "fp8") {
    config.fail("quantization_config",
                fmt::format("says that the model is already quantized ({}); start from the original model",
                            printable(*method)));
  }
  return std::nullopt;
}

std::uint32_t value_of(const SizeRule& rule, const JsonObject& config, const ModelConfig& so_far) {
  for (const auto key : {rule.config_key, rule.other_key}) {
    if (key.empty()) continue;
    if (const auto given = config.count(key)) return *given;
  }
  switch (rule.otherwise) {
    case Otherwise::number:
      return rule.number;
    case Otherwise::heads:
      return so_far[Quantity::heads];
    case Otherwise::embedding_per_head:
      if (so_far[Quantity::embedding] % so_far[Quantity::heads] != 0) {
        config.fail("hidden_size", fmt::format("is {}, not a multiple of num_attention_heads = {}",
                                               so_far[Quantity::embedding], so_far[Quantity::heads]));
      }
      return so_far[Quantity::embedding] / so_far[Quantity::heads];
    case Otherwise::refuse:
      break;
  }
  config.fail(rule.config_key, "is missing");
}

std::uint32_t product(const JsonObject& config, std::string_view heads_key, std::uint32_t heads,
                      std::uint32_t size) {
  constexpr std::uint64_t kLargest = 0x7FFFFFFF;
  const std::uint64_t width = std::uint64_t{heads} * size;
  if (width > kLargest) config.fail(heads_key, fmt::format("= {} heads of {} are too many", heads, size));
  return static_cast<std::uint32_t>(width);
}

/// Far above any head; bounds the table of RoPE divisors that a hostile file can ask for.
constexpr std::uint32_t kLargestHead = 65536;

void read_sizes(const JsonObject& config, ModelConfig& model) {
  const auto set = [&](Quantity quantity, std::uint32_t value) {
    model.sizes[static_cast<std::size_t>(quantity)] = value;
  };
  for (const SizeRule& rule : model.family->sizes) {
    set(rule.quantity, value_of(rule, config, model));
    model.given[static_cast<std::size_t>(rule.quantity)] = config.contains(rule.config_key);
  }
  const auto heads = model[Quantity::heads];
  const auto kv_heads = model[Quantity::kv_heads];
  if (heads % kv_heads != 0) {
    config.fail("num_key_value_heads",
                fmt::format("is {}, which does not divide num_attention_heads = {}", kv_heads, heads));
  }
  const auto head_size = model[Quantity::head_size];
  if (head_size > kLargestHead)
    config.fail("head_dim", fmt::format("is {}, heads are never that large", head_size));
  if (head_size % 2 != 0) {
    config.fail("head_dim", fmt::format("is {}, rotary embeddings need an even one", head_size));
  }
  set(Quantity::one, 1);
  set(Quantity::query_width, product(config, "num_attention_heads", heads, head_size));
  set(Quantity::key_value_width, product(config, "num_key_value_heads", kv_heads, head_size));
}

/// Refuses what GGUF's architectures of mixtures of experts cannot say, and would compute otherwise.
void check_experts(const JsonObject& config, const ModelConfig& model) {
  if (model.family->expert_weights == ExpertWeights::none) return;
  if (model[Quantity::experts_used] > model[Quantity::experts]) {
    config.fail("num_experts_per_tok", fmt::format("is {}, but there are {} experts",
                                                   model[Quantity::experts_used], model[Quantity::experts]));
  }
  if (model.family->expert_weights == ExpertWeights::normalized_by_class) return;
  const bool normalized = model.family->expert_weights == ExpertWeights::normalized;
  if (config.boolean("norm_topk_prob").value_or(false) != normalized) {
    config.fail("norm_topk_prob",
                fmt::format("is not {}, but runtimes of GGUF files always compute {} models so", normalized,
                            model.family->gguf_architecture));
  }
  const auto* dense_layers = config.find("mlp_only_layers");
  const bool has_dense_layers = dense_layers != nullptr && dense_layers->is_array() && !dense_layers->empty();
  if (has_dense_layers || config.count("decoder_sparse_step").value_or(1) != 1) {
    config.fail(
        has_dense_layers ? "mlp_only_layers" : "decoder_sparse_step",
        fmt::format("asks for layers without experts; GGUF's architecture {} has experts in every layer",
                    model.family->gguf_architecture));
  }
}

bool is_windowed_layer(const JsonObject& config, std::uint32_t layer) {
  constexpr std::uint32_t kFirstWindowedLayer = 28;  // of transformers' Qwen2Config and Qwen3Config
  const auto* types = config.find("layer_types");
  if (types == nullptr || types->is_null()) {
    return layer >= config.count("max_window_layers").value_or(kFirstWindowedLayer);
  }
  if (!types->is_array() || layer >= types->size()) {
    config.fail("layer_types", fmt::format("says nothing of layer {}", layer));
  }
  return (*types)[layer] == "sliding_attention";
}

std::vector<std::uint32_t> read_attention_windows(const JsonObject& config, const ModelConfig& model) {
  const SlidingWindow rule = model.family->sliding_window;
  const bool unused =
      rule != SlidingWindow::where_given && !config.boolean("use_sliding_window").value_or(false);
  if (rule == SlidingWindow::never || unused) return {};
  const auto window = config.count("sliding_window");
  if (!window) return {};
  std::vector<std::uint32_t> windows(model[Quantity::blocks], 0);
  for (std::uint32_t layer = 0; layer < windows.size(); ++layer) {
    if (rule != SlidingWindow::where_used || is_windowed_layer(config, layer)) windows[layer] = *window;
  }
  return windows;
}

}  // namespace

ModelConfig read_model_config(const JsonObject& config) {
  ModelConfig model;
  model.family = &family_of(config);
  model.int8 = read_quantization(config);
  read_sizes(config, model);
  check_experts(config, model);
  model.rope = read_rope_scaling(config, model[Quantity::context], model[Quantity::head_size],
                                 model.family->rope_base);
  model.norm_epsilon = config.real("rms_norm_eps").value_or(model.family->norm_epsilon);
  if (model.norm_epsilon < 0) config.fail("rms_norm_eps", "is negative");
  model.tied_embeddings = config.boolean("tie_word_embeddings").value_or(false);
  model.attention_windows = read_attention_windows(config, model);
  return model;
}

void add_architecture_metadata(const ModelConfig& config, std::uint32_t file_type, gguf::Metadata& metadata) {
  for (const MetadataRule& rule : config.family->metadata) {
    const std::string key = fmt::format("{}.{}", config.family->gguf_architecture, rule.key);
    switch (rule.value) {
      case MetadataValue::size_if_given:
        if (!config.given[static_cast<std::size_t>(rule.quantity)]) break;
        [[fallthrough]];
      case MetadataValue::size:
        metadata.set(key, config[rule.quantity]);
        break;
      case MetadataValue::rope_scaling:
        for (const auto& [name, value] : config.rope.metadata)
          metadata.set(fmt::format("{}.{}", key, name), value);
        break;
      case MetadataValue::rope_base:
        metadata.set(key, static_cast<float>(config.rope.base));
        break;
      case MetadataValue::norm_epsilon:
        metadata.set(key, static_cast<float>(config.norm_epsilon));
        break;
      case MetadataValue::file_type:
        metadata.set("general.file_type", file_type);
        break;
    }
  }
}

}  // namespace tessera::model
