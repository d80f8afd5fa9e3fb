#include "model/architecture/kept_tensors.h"

#include <gtest/gtest.h>

namespace tessera::model {
namespace {

TensorDescriptor matrix(std::string name) { return {std::move(name), ElementType::F16, {32, 256}}; }

// The names and answers are those of llama-quantize 0.7.0 (dry runs of a file with these tensors).
TEST(KeptTensors, NormsRoutersPositionsAndOddMatricesAreKept) {
  for (const char* name : {"blk.0.attn_norm.weight",
                           "blk.0.ffn_gate_inp.weight",
                           "altup_proj.weight",
                           "per_layer_model_proj.weight",
                           "position_embd.weight",
                           "sam.pos_embd",
                           "token_types.weight",
                           "v.patch_embd.weight",
                           "v.position_embd.weight",
                           "x.rel_pos.weight",
                           "blk.0.attn_rel_b.weight",
                           "blk.0.ffn_down.scale",
                           "blk.0.laurel_l.weight",
                           "blk.0.shortconv.conv.weight",
                           "blk.0.ssm_a",
                           "blk.0.ssm_conv1d.weight",
                           "blk.0.time_mix_first.weight",
                           "blk.0.time_mix_decay_w2.weight",
                           "blk.0.time_mix_lerp_fused.weight",
                           "blk.0.weighty"}) {
    EXPECT_FALSE(may_be_quantized(matrix(name))) << name;
  }
}

TEST(KeptTensors, MatricesOfLinearLayersAndEmbeddingsAreQuantized) {
  for (const char* name :
       {"token_embd.weight", "output.weight", "blk.0.attn_v.weight", "blk.0.ffn_down_exps.weight",
        "blk.0.ffn_gate_inp_shexp.weight", "cls.weight", "a.pos_embd.weight", "blk.0.ssm_dt.weight",
        "blk.0.time_mix_key.weight", "per_layer_token_embd.weight", "blk.0.ffn_norm_exps.weight"}) {
    EXPECT_TRUE(may_be_quantized(matrix(name))) << name;
  }
}

TEST(KeptTensors, VectorsAndIntegersAreKept) {
  EXPECT_FALSE(may_be_quantized({"blk.0.attn_q.weight", ElementType::F32, {256}}));
  EXPECT_FALSE(may_be_quantized({"blk.0.attn_q.weight", ElementType::F32, {1, 256}}));
  EXPECT_FALSE(may_be_quantized({"blk.0.attn_q.weight", ElementType::I32, {32, 256}}));
}

}  // namespace
}  // namespace tessera::model
