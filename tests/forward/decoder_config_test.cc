// What of a model's metadata the forward pass accepts, and what it says of the rest.
#include "model/forward/decoder_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "foundation/base/error.h"

namespace tessera::model {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class DecoderConfigOfDemo : public ::testing::Test {
 protected:
  OpenedModel model = open_model(TESSERA_TESTDATA "/demo-model");
};

TEST_F(DecoderConfigOfDemo, HasTheSizesOfConfigJson) {
  const auto config = read_decoder_config(model);
  EXPECT_EQ(config.layers, 4u);
  EXPECT_EQ(config.heads % config.kv_heads, 0u);
  EXPECT_EQ(config.rope.pairs, kernels::RopePairs::interleaved);
  EXPECT_EQ(config.rope.dimensions, config.head_size);
  EXPECT_FALSE(config.tied_output);
  EXPECT_TRUE(config.attention_windows.empty());
}

TEST(DecoderConfigOfMixtures, HasTheWidthsOfRoutedAndSharedExperts) {
  const auto config = read_decoder_config(open_model(TESSERA_TESTDATA "/forward/qwen2-moe"));
  ASSERT_TRUE(config.mixture);
  EXPECT_EQ(config.mixture->experts, 6u);
  EXPECT_EQ(config.mixture->used, 3u);
  EXPECT_EQ(config.mixture->feed_forward, 32u);
  EXPECT_FALSE(config.mixture->normalized);
  EXPECT_EQ(config.feed_forward, 48u) << "of the shared expert";
  const auto mixtral = read_decoder_config(open_model(TESSERA_TESTDATA "/forward/mixtral"));
  EXPECT_EQ(mixtral.mixture->feed_forward, 64u);
  EXPECT_TRUE(mixtral.mixture->normalized);
  EXPECT_EQ(mixtral.feed_forward, 0u) << "no shared expert";
}

TEST(DecoderConfigOfMixtures, NoExpertsMeansDense) {
  auto model = open_model(TESSERA_TESTDATA "/demo-model");
  model.metadata.set("llama.expert_count", std::uint32_t{0});
  EXPECT_FALSE(read_decoder_config(model).mixture);
}

struct Refusal {
  const char* name;
  std::function<void(gguf::Metadata&)> damage;
  const char* message;
};

class RefusedMetadata : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedMetadata, IsNamed) {
  auto model = open_model(TESSERA_TESTDATA "/demo-model");
  GetParam().damage(model.metadata);
  EXPECT_THAT([&] { read_decoder_config(model); },
              ThrowsMessage<BadFileError>(HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Metadata, RefusedMetadata,
    ::testing::Values(
        Refusal{"unknown_architecture", [](auto& m) { m.set("general.architecture", std::string("mamba")); },
                "does not know the architecture 'mamba'; it knows llama, qwen2, qwen3"},
        Refusal{"experts_without_a_number_used",
                [](auto& m) { m.set("llama.expert_count", std::uint32_t{8}); },
                "'llama.expert_used_count' is missing"},
        Refusal{"more_experts_used_than_there_are",
                [](auto& m) {
                  m.set("llama.expert_count", std::uint32_t{8});
                  m.set("llama.expert_used_count", std::uint32_t{9});
                },
                "cannot pass 9 of 8 experts"},
        Refusal{"experts_as_text", [](auto& m) { m.set("llama.expert_count", std::string("eight")); },
                "'llama.expert_count' must be one whole number"},
        Refusal{"missing_layers", [](auto& m) { m.erase("llama.block_count"); },
                "'llama.block_count' is missing"},
        Refusal{"zero_heads", [](auto& m) { m.set("llama.attention.head_count", std::uint32_t{0}); },
                "'llama.attention.head_count' must be one whole number"},
        Refusal{"heads_per_layer",
                [](auto& m) {
                  m.set("llama.attention.head_count", gguf::Array(std::vector<std::uint32_t>{4, 4, 4, 4}));
                },
                "'llama.attention.head_count' must be one whole number"},
        Refusal{"indivisible_heads",
                [](auto& m) { m.set("llama.attention.head_count_kv", std::uint32_t{3}); }, "do not divide"},
        Refusal{"huge_head", [](auto& m) { m.set("llama.attention.key_length", std::uint32_t{1u << 23}); },
                "are too many"},
        Refusal{"other_value_heads",
                [](auto& m) { m.set("llama.attention.value_length", std::uint32_t{16}); },
                "value heads of 16"},
        Refusal{"odd_rotation", [](auto& m) { m.set("llama.rope.dimension_count", std::uint32_t{31}); },
                "31 rotated dimensions"},
        Refusal{"negative_epsilon", [](auto& m) { m.set("llama.attention.layer_norm_rms_epsilon", -1.0f); },
                "'llama.attention.layer_norm_rms_epsilon' must be a positive number"},
        Refusal{"unknown_scaling", [](auto& m) { m.set("llama.rope.scaling.type", std::string("longrope")); },
                "kind 'longrope' is not supported"},
        Refusal{"scaling_without_factor",
                [](auto& m) { m.set("llama.rope.scaling.type", std::string("linear")); },
                "'llama.rope.scaling.factor' is missing"},
        Refusal{"other_embedding_width", [](auto& m) { m.set("llama.embedding_length", std::uint32_t{128}); },
                "'token_embd.weight' has the shape"}),
    [](const auto& refusal) { return refusal.param.name; });

}  // namespace
}  // namespace tessera::model
