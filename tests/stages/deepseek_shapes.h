// The tensors of DeepSeek-V3 as they stand in GGUF files: names and shapes, no weights.
//
// Sizes are those of its published config.json (671 billion parameters without the layer that predicts a
// second token): 61 layers, the first 3 dense, 256 routed experts and a shared one in each of the others,
// low-rank queries, keys and values. tools/make_deepseek_shapes.py writes the same list as a file.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "foundation/tensor/tensor_descriptor.h"
#include "model/architecture/model_facts.h"

namespace tessera::testing {

inline std::vector<TensorDescriptor> deepseek_v3_tensors() {
  constexpr std::uint64_t kHidden = 7168;
  constexpr std::uint64_t kVocabulary = 129280;
  constexpr std::uint64_t kDense = 18432;
  constexpr std::uint64_t kExpert = 2048;
  constexpr std::uint64_t kExperts = 256;
  constexpr std::uint64_t kHeads = 128;
  using enum ElementType;
  std::vector<TensorDescriptor> tensors = {{"token_embd.weight", BF16, {kVocabulary, kHidden}},
                                           {"output_norm.weight", F32, {kHidden}},
                                           {"output.weight", BF16, {kVocabulary, kHidden}}};
  for (int layer = 0; layer < 61; ++layer) {
    const auto add = [&](const char* stem, ElementType type, std::vector<std::uint64_t> shape) {
      tensors.push_back({fmt::format("blk.{}.{}", layer, stem), type, std::move(shape)});
    };
    add("attn_norm.weight", F32, {kHidden});
    add("attn_q_a.weight", BF16, {1536, kHidden});
    add("attn_q_a_norm.weight", F32, {1536});
    add("attn_q_b.weight", BF16, {kHeads * (128 + 64), 1536});
    add("attn_kv_a_mqa.weight", BF16, {512 + 64, kHidden});
    add("attn_kv_a_norm.weight", F32, {512});
    add("attn_kv_b.weight", BF16, {kHeads * (128 + 128), 512});
    add("attn_output.weight", BF16, {kHidden, kHeads * 128});
    add("ffn_norm.weight", F32, {kHidden});
    if (layer < 3) {
      add("ffn_gate.weight", BF16, {kDense, kHidden});
      add("ffn_up.weight", BF16, {kDense, kHidden});
      add("ffn_down.weight", BF16, {kHidden, kDense});
      continue;
    }
    add("ffn_gate_inp.weight", F32, {kExperts, kHidden});
    add("exp_probs_b.bias", F32, {kExperts});
    add("ffn_gate_exps.weight", BF16, {kExperts, kExpert, kHidden});
    add("ffn_up_exps.weight", BF16, {kExperts, kExpert, kHidden});
    add("ffn_down_exps.weight", BF16, {kExperts, kHidden, kExpert});
    add("ffn_gate_shexp.weight", BF16, {kExpert, kHidden});
    add("ffn_up_shexp.weight", BF16, {kExpert, kHidden});
    add("ffn_down_shexp.weight", BF16, {kHidden, kExpert});
  }
  return tensors;
}

inline model::ModelFacts deepseek_v3_facts() {
  model::ModelFacts facts{"deepseek2", 61, 128, 128, 256, true};
  facts.experts_used = 8;
  return facts;
}

}  // namespace tessera::testing
