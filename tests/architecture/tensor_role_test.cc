#include "model/architecture/tensor_role.h"

#include <gtest/gtest.h>

#include <string>

namespace tessera::model {
namespace {

TEST(TensorRole, NamesOfALlamaModelGiveRoleAndLayer) {
  EXPECT_EQ(place_of("token_embd.weight"), (TensorPlace{TensorRole::token_embedding, {}}));
  EXPECT_EQ(place_of("output.weight"), (TensorPlace{TensorRole::output, {}}));
  EXPECT_EQ(place_of("output_norm.weight"), (TensorPlace{TensorRole::norm, {}}));
  EXPECT_EQ(place_of("blk.0.attn_v.weight"), (TensorPlace{TensorRole::attention_value, 0}));
  EXPECT_EQ(place_of("blk.12.attn_output.weight"), (TensorPlace{TensorRole::attention_output, 12}));
  EXPECT_EQ(place_of("blk.3.ffn_norm.weight"), (TensorPlace{TensorRole::norm, 3}));
  EXPECT_EQ(place_of("blk.3.attn_q.bias"), (TensorPlace{TensorRole::bias, 3}));
}

TEST(TensorRole, ExpertsHaveTheRoleOfTheirProjectionAndTheRouterItsOwn) {
  EXPECT_EQ(place_of("blk.7.ffn_down_exps.weight"), (TensorPlace{TensorRole::ffn_down, 7}));
  EXPECT_EQ(place_of("blk.7.ffn_up_shexp.weight"), (TensorPlace{TensorRole::ffn_up, 7}));
  EXPECT_EQ(place_of("blk.7.ffn_gate_inp.weight"), (TensorPlace{TensorRole::router, 7}));
}

TEST(TensorRole, TheProjectionsOfLatentAttentionAreAttention) {
  for (const char* stem : {"attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_k_b", "attn_v_b"}) {
    EXPECT_EQ(place_of("blk.4." + std::string(stem) + ".weight"),
              (TensorPlace{TensorRole::attention_latent, 4}));
  }
  EXPECT_EQ(place_of("blk.4.attn_kv_b.weight"), (TensorPlace{TensorRole::attention_value, 4}));
  EXPECT_EQ(place_of("blk.4.attn_q_a_norm.weight"), (TensorPlace{TensorRole::norm, 4}));
  EXPECT_EQ(place_of("blk.4.exp_probs_b.bias"), (TensorPlace{TensorRole::bias, 4}));
}

TEST(TensorRole, UnknownOrMalformedNamesAreOther) {
  EXPECT_EQ(place_of("rope_freqs.weight").role, TensorRole::other);
  EXPECT_EQ(place_of("weight").role, TensorRole::other);
  EXPECT_EQ(place_of("").role, TensorRole::other);
  EXPECT_EQ(place_of("blk.x.attn_v.weight"), (TensorPlace{TensorRole::other, {}}));
  EXPECT_EQ(place_of("blk.5"), (TensorPlace{TensorRole::other, {}}));
  EXPECT_EQ(place_of("blk.99999999999.attn_v.weight"), (TensorPlace{TensorRole::other, {}}));
}

TEST(TensorRole, EveryRoleHasASpellingThatReadsBack) {
  for (const TensorRole role : all_tensor_roles()) EXPECT_EQ(tensor_role_from_name(name_of(role)), role);
  EXPECT_EQ(tensor_role_from_name("nonsense"), std::nullopt);
}

}  // namespace
}  // namespace tessera::model
