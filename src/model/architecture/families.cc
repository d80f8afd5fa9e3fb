// The tables of the supported families. Sources: shared/formats/GGUF.md section 3 for the GGUF side, the
// configuration classes of transformers 5.12 for the defaults, and the output of llama.cpp's converter for
// which keys are written in which order.
#include <algorithm>
#include <array>

#include "model/architecture/family.h"

namespace tessera::model {
namespace {

using enum Quantity;
using enum RowOrder;
using enum Presence;

/// All supported families keep their sizes under the same keys and differ in the defaults only.
constexpr std::array<SizeRule, 8> sizes(std::uint32_t default_context, SizeRule kv_heads_rule,
                                        SizeRule head_size_rule) {
  return {
      SizeRule{blocks, "num_hidden_layers"},
      SizeRule{context, "max_position_embeddings", Otherwise::number, default_context},
      SizeRule{embedding, "hidden_size"},
      SizeRule{feed_forward, "intermediate_size"},
      SizeRule{heads, "num_attention_heads"},
      kv_heads_rule,
      head_size_rule,
      SizeRule{vocabulary, "vocab_size"},
  };
}

constexpr SizeRule kHeadOfEmbedding = {head_size, "head_dim", Otherwise::embedding_per_head};
constexpr auto kLlamaSizes =
    sizes(2048, {kv_heads, "num_key_value_heads", Otherwise::heads}, kHeadOfEmbedding);
constexpr auto kMistralSizes =
    sizes(131072, {kv_heads, "num_key_value_heads", Otherwise::number, 8}, kHeadOfEmbedding);
constexpr auto kQwen2Sizes =
    sizes(32768, {kv_heads, "num_key_value_heads", Otherwise::number, 32}, kHeadOfEmbedding);
constexpr auto kQwen3Sizes = sizes(32768, {kv_heads, "num_key_value_heads", Otherwise::number, 32},
                                   {head_size, "head_dim", Otherwise::number, 128});

constexpr std::array kLlamaMetadata = {
    MetadataRule{"block_count", MetadataValue::size, blocks},
    MetadataRule{"context_length", MetadataValue::size, context},
    MetadataRule{"embedding_length", MetadataValue::size, embedding},
    MetadataRule{"feed_forward_length", MetadataValue::size, feed_forward},
    MetadataRule{"attention.head_count", MetadataValue::size, heads},
    MetadataRule{"attention.head_count_kv", MetadataValue::size, kv_heads},
    MetadataRule{"rope.scaling", MetadataValue::rope_scaling},
    MetadataRule{"rope.freq_base", MetadataValue::rope_base},
    MetadataRule{"attention.layer_norm_rms_epsilon", MetadataValue::norm_epsilon},
    MetadataRule{"attention.key_length", MetadataValue::size, head_size},
    MetadataRule{"attention.value_length", MetadataValue::size, head_size},
    MetadataRule{"", MetadataValue::file_type},
    MetadataRule{"vocab_size", MetadataValue::size, vocabulary},
    MetadataRule{"rope.dimension_count", MetadataValue::size, head_size},
};

constexpr std::array kQwenMetadata = {
    MetadataRule{"block_count", MetadataValue::size, blocks},
    MetadataRule{"context_length", MetadataValue::size, context},
    MetadataRule{"embedding_length", MetadataValue::size, embedding},
    MetadataRule{"feed_forward_length", MetadataValue::size, feed_forward},
    MetadataRule{"attention.head_count", MetadataValue::size, heads},
    MetadataRule{"attention.head_count_kv", MetadataValue::size, kv_heads},
    MetadataRule{"rope.scaling", MetadataValue::rope_scaling},
    MetadataRule{"rope.freq_base", MetadataValue::rope_base},
    MetadataRule{"attention.layer_norm_rms_epsilon", MetadataValue::norm_epsilon},
    MetadataRule{"attention.key_length", MetadataValue::size_if_given, head_size},
    MetadataRule{"attention.value_length", MetadataValue::size_if_given, head_size},
    MetadataRule{"", MetadataValue::file_type},
};

// Qwen3's class always has a head size, so its converted files always say it.
constexpr auto kQwen3Metadata = [] {
  auto rules = kQwenMetadata;
  for (auto& rule : rules) {
    if (rule.value == MetadataValue::size_if_given) rule.value = MetadataValue::size;
  }
  return rules;
}();

constexpr std::array kLlamaTensors = {
    TensorRule{"model.embed_tokens.weight", "token_embd.weight", vocabulary, embedding},
    TensorRule{"model.norm.weight", "output_norm.weight", {}, embedding},
    TensorRule{"lm_head.weight", "output.weight", vocabulary, embedding, same, unless_tied},
    TensorRule{"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", {}, embedding},
    TensorRule{"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", query_width, embedding,
               interleaved_heads},
    TensorRule{"model.layers.{}.self_attn.q_proj.bias",
               "blk.{}.attn_q.bias",
               {},
               query_width,
               interleaved_heads,
               optional},
    TensorRule{"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", key_value_width, embedding,
               interleaved_heads},
    TensorRule{"model.layers.{}.self_attn.k_proj.bias",
               "blk.{}.attn_k.bias",
               {},
               key_value_width,
               interleaved_heads,
               optional},
    TensorRule{"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", key_value_width, embedding},
    TensorRule{
        "model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", {}, key_value_width, same, optional},
    TensorRule{"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", embedding,
               query_width},
    TensorRule{
        "model.layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias", {}, embedding, same, optional},
    TensorRule{"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", {}, embedding},
    TensorRule{"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", feed_forward, embedding},
    TensorRule{
        "model.layers.{}.mlp.gate_proj.bias", "blk.{}.ffn_gate.bias", {}, feed_forward, same, optional},
    TensorRule{"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.up_proj.bias", "blk.{}.ffn_up.bias", {}, feed_forward, same, optional},
    TensorRule{"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", embedding, feed_forward},
    TensorRule{"model.layers.{}.mlp.down_proj.bias", "blk.{}.ffn_down.bias", {}, embedding, same, optional},
};

constexpr std::array kQwen2Tensors = {
    TensorRule{"model.embed_tokens.weight", "token_embd.weight", vocabulary, embedding},
    TensorRule{"model.norm.weight", "output_norm.weight", {}, embedding},
    TensorRule{"lm_head.weight", "output.weight", vocabulary, embedding, same, unless_tied},
    TensorRule{"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", {}, embedding},
    TensorRule{"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", query_width, embedding},
    TensorRule{"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", {}, query_width},
    TensorRule{"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", key_value_width, embedding},
    TensorRule{"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", {}, key_value_width},
    TensorRule{"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", key_value_width, embedding},
    TensorRule{"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias", {}, key_value_width},
    TensorRule{"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", embedding,
               query_width},
    TensorRule{"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", {}, embedding},
    TensorRule{"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", embedding, feed_forward},
};

constexpr std::array kQwen3Tensors = {
    TensorRule{"model.embed_tokens.weight", "token_embd.weight", vocabulary, embedding},
    TensorRule{"model.norm.weight", "output_norm.weight", {}, embedding},
    TensorRule{"lm_head.weight", "output.weight", vocabulary, embedding, same, unless_tied},
    TensorRule{"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", {}, embedding},
    TensorRule{"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", query_width, embedding},
    TensorRule{"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", {}, head_size},
    TensorRule{"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", key_value_width, embedding},
    TensorRule{"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", {}, head_size},
    TensorRule{"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight", key_value_width, embedding},
    TensorRule{"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight", embedding,
               query_width},
    TensorRule{"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight", {}, embedding},
    TensorRule{"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight", feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight", feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight", embedding, feed_forward},
};

// CodeLlama's infill vocabulary names its end-of-turn token nowhere; vocabularies of the Granite and SmolLM
// kind must not get a BOS token although their tokenizer does not say so.
constexpr std::array kLlamaVocabularies = {
    VocabularyRule{32016, "tokenizer.ggml.eot_token_id", 32010},
    VocabularyRule{49152, "tokenizer.ggml.add_bos_token", {}},
};

constexpr std::array kFamilies = {
    Family{"LlamaForCausalLM", "llama", kLlamaSizes, kLlamaMetadata, kLlamaTensors, kLlamaVocabularies, true},
    Family{"MistralForCausalLM", "llama", kMistralSizes, kLlamaMetadata, kLlamaTensors, kLlamaVocabularies,
           true, SlidingWindow::where_given},
    Family{"Qwen2ForCausalLM",
           "qwen2",
           kQwen2Sizes,
           kQwenMetadata,
           kQwen2Tensors,
           {},
           false,
           SlidingWindow::where_used},
    Family{"Qwen3ForCausalLM",
           "qwen3",
           kQwen3Sizes,
           kQwen3Metadata,
           kQwen3Tensors,
           {},
           false,
           SlidingWindow::where_used},
};

constexpr std::array<std::string_view, 3> kIgnoredEndings = {".rotary_emb.inv_freq", ".attention.bias",
                                                             ".attention.masked_bias"};

}  // namespace

std::span<const Family> all_families() { return kFamilies; }

const Family* find_family(std::string_view hf_architecture) {
  const auto found = std::ranges::find(kFamilies, hf_architecture, &Family::hf_architecture);
  return found == kFamilies.end() ? nullptr : &*found;
}

bool is_ignored_tensor(std::string_view hf_name) {
  return std::ranges::any_of(kIgnoredEndings, [&](std::string_view end) { return hf_name.ends_with(end); });
}

}  // namespace tessera::model
