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

/// Two tables, one after the other.
template <class T, std::size_t N, std::size_t M>
constexpr std::array<T, N + M> joined(const std::array<T, N>& first, const std::array<T, M>& second) {
  std::array<T, N + M> all{};
  std::ranges::copy(first, all.begin());
  std::ranges::copy(second, all.begin() + N);
  return all;
}

/// The rows [kFirst, kFirst + kCount) of a table.
template <std::size_t kFirst, std::size_t kCount, class T, std::size_t N>
constexpr std::array<T, kCount> rows_of(const std::array<T, N>& table) {
  static_assert(kFirst + kCount <= N);
  std::array<T, kCount> rows{};
  std::copy_n(table.begin() + kFirst, kCount, rows.begin());
  return rows;
}

constexpr auto kMixtralSizes =
    joined(sizes(131072, {kv_heads, "num_key_value_heads", Otherwise::number, 8}, kHeadOfEmbedding),
           std::array{SizeRule{experts, "num_local_experts", Otherwise::number, 8, "num_experts"},
                      SizeRule{experts_used, "num_experts_per_tok", Otherwise::number, 2},
                      SizeRule{expert_feed_forward, "intermediate_size"}});
constexpr auto kQwen2MoeSizes = joined(
    sizes(32768, {kv_heads, "num_key_value_heads", Otherwise::number, 16}, kHeadOfEmbedding),
    std::array{SizeRule{experts, "num_local_experts", Otherwise::number, 60, "num_experts"},
               SizeRule{experts_used, "num_experts_per_tok", Otherwise::number, 4},
               SizeRule{expert_feed_forward, "moe_intermediate_size", Otherwise::number, 1408},
               SizeRule{shared_feed_forward, "shared_expert_intermediate_size", Otherwise::number, 5632}});
constexpr auto kQwen3MoeSizes =
    joined(sizes(32768, {kv_heads, "num_key_value_heads", Otherwise::number, 4}, kHeadOfEmbedding),
           std::array{SizeRule{experts, "num_local_experts", Otherwise::number, 128, "num_experts"},
                      SizeRule{experts_used, "num_experts_per_tok", Otherwise::number, 8},
                      SizeRule{expert_feed_forward, "moe_intermediate_size", Otherwise::number, 768}});

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

constexpr std::array kExpertMetadata = {
    MetadataRule{"expert_count", MetadataValue::size, experts},
    MetadataRule{"expert_used_count", MetadataValue::size, experts_used},
};

/// The keys up to the norm's epsilon, the experts, then the rest; that of Mixtral's class may have no head
/// size.
constexpr auto kMixtralMetadata = [] {
  auto rules = joined(joined(rows_of<0, 9>(kLlamaMetadata), kExpertMetadata), rows_of<9, 5>(kLlamaMetadata));
  for (auto& rule : rules) {
    if (rule.key == "attention.key_length" || rule.key == "attention.value_length")
      rule.value = MetadataValue::size_if_given;
  }
  return rules;
}();
constexpr auto kQwen3MoeMetadata =
    joined(joined(joined(rows_of<0, 9>(kQwenMetadata), kExpertMetadata), rows_of<9, 3>(kQwenMetadata)),
           std::array{MetadataRule{"expert_feed_forward_length", MetadataValue::size, expert_feed_forward}});
constexpr auto kQwen2MoeMetadata = joined(
    kQwen3MoeMetadata,
    std::array{MetadataRule{"expert_shared_feed_forward_length", MetadataValue::size, shared_feed_forward}});

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

// Stacked in the order of llama.cpp's converter.
constexpr std::array kMixtralExperts = {
    TensorRule{"model.layers.{}.block_sparse_moe.gate.weight", "blk.{}.ffn_gate_inp.weight", experts,
               embedding, same, required, StoredType::float32},
    TensorRule{"model.layers.{}.block_sparse_moe.experts.{}.w1.weight", "blk.{}.ffn_gate_exps.weight",
               expert_feed_forward, embedding},
    TensorRule{"model.layers.{}.block_sparse_moe.experts.{}.w2.weight", "blk.{}.ffn_down_exps.weight",
               embedding, expert_feed_forward},
    TensorRule{"model.layers.{}.block_sparse_moe.experts.{}.w3.weight", "blk.{}.ffn_up_exps.weight",
               expert_feed_forward, embedding},
};

constexpr std::array kQwenExperts = {
    TensorRule{"model.layers.{}.mlp.gate.weight", "blk.{}.ffn_gate_inp.weight", experts, embedding, same,
               required, StoredType::float32},
    TensorRule{"model.layers.{}.mlp.experts.{}.down_proj.weight", "blk.{}.ffn_down_exps.weight", embedding,
               expert_feed_forward},
    TensorRule{"model.layers.{}.mlp.experts.{}.gate_proj.weight", "blk.{}.ffn_gate_exps.weight",
               expert_feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.experts.{}.up_proj.weight", "blk.{}.ffn_up_exps.weight",
               expert_feed_forward, embedding},
};

constexpr std::array kQwenSharedExpert = {
    TensorRule{"model.layers.{}.mlp.shared_expert_gate.weight", "blk.{}.ffn_gate_inp_shexp.weight", one,
               embedding, same, required, StoredType::float32},
    TensorRule{"model.layers.{}.mlp.shared_expert.gate_proj.weight", "blk.{}.ffn_gate_shexp.weight",
               shared_feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.shared_expert.up_proj.weight", "blk.{}.ffn_up_shexp.weight",
               shared_feed_forward, embedding},
    TensorRule{"model.layers.{}.mlp.shared_expert.down_proj.weight", "blk.{}.ffn_down_shexp.weight",
               embedding, shared_feed_forward},
};

// Without the feed-forward matrices and their biases, which stand last.
constexpr auto kMixtralTensors = joined(rows_of<0, kLlamaTensors.size() - 6>(kLlamaTensors), kMixtralExperts);
constexpr auto kQwen2MoeTensors =
    joined(joined(rows_of<0, kQwen2Tensors.size() - 3>(kQwen2Tensors), kQwenExperts), kQwenSharedExpert);
constexpr auto kQwen3MoeTensors = joined(rows_of<0, kQwen3Tensors.size() - 3>(kQwen3Tensors), kQwenExperts);

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
    Family{"MixtralForCausalLM", "llama", kMixtralSizes, kMixtralMetadata, kMixtralTensors,
           kLlamaVocabularies, true, SlidingWindow::where_given, ExpertWeights::normalized_by_class, 1e-5,
           1e6},
    Family{"Qwen2MoeForCausalLM",
           "qwen2moe",
           kQwen2MoeSizes,
           kQwen2MoeMetadata,
           kQwen2MoeTensors,
           {},
           false,
           SlidingWindow::where_used,
           ExpertWeights::as_they_are},
    Family{"Qwen3MoeForCausalLM",
           "qwen3moe",
           kQwen3MoeSizes,
           kQwen3MoeMetadata,
           kQwen3MoeTensors,
           {},
           false,
           SlidingWindow::where_used_everywhere,
           ExpertWeights::normalized},
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
