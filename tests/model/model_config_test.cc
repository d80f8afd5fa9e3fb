#include "model/architecture/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "foundation/base/error.h"

namespace tessera::model {
namespace {

using ::testing::HasSubstr;

/// A good config.json with the text `extra` (keys, ending in a comma) in front; later keys must not repeat.
std::string llama_config(const std::string& changed_key = "", const std::string& changed_line = "") {
  const std::pair<const char*, const char*> lines[] = {
      {"architectures", R"("architectures": ["LlamaForCausalLM"])"},
      {"hidden_size", R"("hidden_size": 64)"},
      {"intermediate_size", R"("intermediate_size": 160)"},
      {"num_attention_heads", R"("num_attention_heads": 4)"},
      {"num_key_value_heads", R"("num_key_value_heads": 2)"},
      {"num_hidden_layers", R"("num_hidden_layers": 3)"},
      {"vocab_size", R"("vocab_size": 100)"},
      {"rms_norm_eps", R"("rms_norm_eps": 1e-5)"},
      {"rope_theta", R"("rope_theta": 10000.0)"},
  };
  std::string text;
  bool replaced = false;
  for (const auto& [key, line] : lines) {
    replaced = replaced || key == changed_key;
    const std::string chosen = key == changed_key ? changed_line : line;
    if (!chosen.empty()) text += (text.empty() ? "" : ", ") + chosen;
  }
  if (!replaced && !changed_line.empty()) text += ", " + changed_line;
  return "{" + text + "}";
}

ModelConfig read(const std::string& text) { return read_model_config(json::JsonObject(text, "config.json")); }

TEST(ModelConfig, SizesAreReadAndTheirProductsFollow) {
  const ModelConfig config = read(llama_config());
  EXPECT_EQ(config.family->gguf_architecture, "llama");
  EXPECT_EQ(config[Quantity::head_size], 16u);
  EXPECT_EQ(config[Quantity::query_width], 64u);
  EXPECT_EQ(config[Quantity::key_value_width], 32u);
  EXPECT_EQ(config[Quantity::context], 2048u) << "the default of the family";
}

TEST(ModelConfig, HeadSizeOfItsOwnWidensTheQuery) {
  const ModelConfig config = read(llama_config("head_dim", R"("head_dim": 32)"));
  EXPECT_EQ(config[Quantity::query_width], 128u);
}

TEST(ModelConfig, NullIsTheSameAsMissing) {
  const ModelConfig config = read(llama_config("num_key_value_heads", R"("num_key_value_heads": null)"));
  EXPECT_EQ(config[Quantity::kv_heads], 4u);
}

TEST(ModelConfig, MetadataComesInTheOrderOfTheTable) {
  gguf::Metadata metadata;
  add_architecture_metadata(read(llama_config()), 1, metadata);
  ASSERT_FALSE(metadata.entries().empty());
  EXPECT_EQ(metadata.entries().front().first, "llama.block_count");
  EXPECT_EQ(metadata.unsigned_integer("llama.attention.head_count_kv"), 2u);
  EXPECT_EQ(metadata.unsigned_integer("llama.rope.dimension_count"), 16u);
  EXPECT_EQ(metadata.unsigned_integer("general.file_type"), 1u);
  EXPECT_FLOAT_EQ(static_cast<float>(*metadata.real("llama.attention.layer_norm_rms_epsilon")), 1e-5f);
}

TEST(ModelConfig, Qwen2SaysItsHeadSizeOnlyWhenConfigDoes) {
  const std::string qwen = R"("architectures": ["Qwen2ForCausalLM"])";
  gguf::Metadata without;
  add_architecture_metadata(read(llama_config("architectures", qwen)), 1, without);
  EXPECT_FALSE(without.contains("qwen2.attention.key_length"));
  gguf::Metadata with;
  add_architecture_metadata(read(llama_config("architectures", qwen + R"(, "head_dim": 8)")), 1, with);
  EXPECT_EQ(with.unsigned_integer("qwen2.attention.key_length"), 8u);
}

/// A config.json with one thing wrong, and what the message must name.
struct BadConfig {
  std::string name;
  std::string key;
  std::string line;
  std::string says;
};

void PrintTo(const BadConfig& value, std::ostream* out) { *out << value.name; }

class RefusedConfig : public ::testing::TestWithParam<BadConfig> {};

TEST_P(RefusedConfig, NamesTheFileTheKeyAndTheFault) {
  const BadConfig& bad = GetParam();
  try {
    read(llama_config(bad.key, bad.line));
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("config.json"));
    EXPECT_THAT(error.what(), HasSubstr(bad.key));
    EXPECT_THAT(error.what(), HasSubstr(bad.says));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Hostile, RefusedConfig,
    ::testing::Values(
        BadConfig{"NoArchitecture", "architectures", "", "supported are LlamaForCausalLM"},
        BadConfig{"EmptyArchitectures", "architectures", R"("architectures": [])", "Qwen3ForCausalLM"},
        BadConfig{"ArchitectureIsANumber", "architectures", R"("architectures": [3])", "supported are"},
        BadConfig{"ArchitecturesIsText", "architectures", R"("architectures": "LlamaForCausalLM")",
                  "supported"},
        BadConfig{"UnsupportedFamily", "architectures", R"("architectures": ["GPT2LMHeadModel"])",
                  "GPT2LMHeadModel; supported are LlamaForCausalLM, MistralForCausalLM"},
        BadConfig{"MissingHiddenSize", "hidden_size", "", "missing"},
        BadConfig{"MissingLayers", "num_hidden_layers", "", "missing"},
        BadConfig{"MissingVocabulary", "vocab_size", "", "missing"},
        BadConfig{"NoHeads", "num_attention_heads", R"("num_attention_heads": 0)", "is 0"},
        BadConfig{"NegativeHeads", "num_attention_heads", R"("num_attention_heads": -4)", "is -4"},
        BadConfig{"HeadsAsText", "num_attention_heads", R"("num_attention_heads": "4")", "whole number"},
        BadConfig{"HeadsAsFraction", "num_attention_heads", R"("num_attention_heads": 4.5)", "whole number"},
        BadConfig{"HeadsAsList", "num_attention_heads", R"("num_attention_heads": [4])", "an array"},
        BadConfig{"HeadsDoNotDivide", "hidden_size", R"("hidden_size": 66)", "not a multiple"},
        BadConfig{"HugeLayers", "num_hidden_layers", R"("num_hidden_layers": 99999999999)", "2147483647"},
        BadConfig{"BeyondSixtyFourBits", "vocab_size", R"("vocab_size": 99999999999999999999999)",
                  "whole number"},
        BadConfig{"LargestUnsigned", "vocab_size", R"("vocab_size": 18446744073709551615)", "whole number"},
        BadConfig{"HugeHeads", "num_attention_heads",
                  R"("num_attention_heads": 2147483646, "head_dim": 65536)", "too many"},
        BadConfig{"KvHeadsDoNotDivide", "num_key_value_heads", R"("num_key_value_heads": 3)",
                  "does not divide"},
        BadConfig{"HugeHeadSize", "head_dim", R"("head_dim": 2147483646)", "never that large"},
        BadConfig{"OddHeadSize", "head_dim", R"("head_dim": 15)", "even"},
        BadConfig{"NegativeEpsilon", "rms_norm_eps", R"("rms_norm_eps": -1.0)", "negative"},
        BadConfig{"EpsilonAsText", "rms_norm_eps", R"("rms_norm_eps": "small")", "number"},
        BadConfig{"ZeroTheta", "rope_theta", R"("rope_theta": 0)", "positive"},
        BadConfig{"TiedAsText", "tie_word_embeddings", R"("tie_word_embeddings": "yes")", "true or false"},
        BadConfig{"RopeScalingAsText", "rope_scaling", R"("rope_scaling": "linear")", "an object"},
        BadConfig{"UnknownRopeScaling", "rope_type", R"("rope_scaling": {"rope_type": "longrope"})",
                  "longrope"},
        BadConfig{"LinearWithoutFactor", "factor", R"("rope_scaling": {"type": "linear"})", "missing"},
        BadConfig{"YarnWithZeroFactor", "factor", R"("rope_scaling": {"type": "yarn", "factor": 0})",
                  "positive"},
        BadConfig{"Llama3WithReversedRange", "high_freq_factor",
                  R"("rope_scaling": {"rope_type": "llama3", "low_freq_factor": 4, "high_freq_factor": 1})",
                  "larger"},
        BadConfig{"RopePerLayerType", "full_attention", R"("rope_parameters": {"full_attention": {}})",
                  "not supported"},
        BadConfig{"AlreadyQuantized", "quantization_config",
                  R"("quantization_config": {"quant_method": "gptq"})", "gptq"}),
    [](const auto& parameter) { return parameter.param.name; });

std::string qwen3_moe_config(const std::string& more) {
  return llama_config("architectures", R"("architectures": ["Qwen3MoeForCausalLM"])").insert(1, more + ", ");
}

TEST(ModelConfig, ExpertsAreReadUnderEitherNameAndDefaultToThoseOfTheClass) {
  const auto config = read(qwen3_moe_config(R"("norm_topk_prob": true, "num_experts": 16)"));
  EXPECT_EQ(config[Quantity::experts], 16u);
  EXPECT_EQ(config[Quantity::experts_used], 8u);
  EXPECT_EQ(read(qwen3_moe_config(R"("norm_topk_prob": true)"))[Quantity::experts], 128u);
}

TEST(ModelConfig, MixturesThatGgufCannotSayAreRefused) {
  const auto says = [](const std::string& more) -> std::string {
    try {
      read(qwen3_moe_config(more));
    } catch (const BadFileError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(says(R"("norm_topk_prob": true, "mlp_only_layers": [], "decoder_sparse_step": 1)"), "accepted");
  EXPECT_THAT(says(R"("norm_topk_prob": false)"), HasSubstr("norm_topk_prob"));
  EXPECT_THAT(says(R"("max_position_embeddings": 64)"), HasSubstr("norm_topk_prob"));
  EXPECT_THAT(says(R"("norm_topk_prob": true, "mlp_only_layers": [1])"), HasSubstr("mlp_only_layers"));
  EXPECT_THAT(says(R"("norm_topk_prob": true, "decoder_sparse_step": 2)"), HasSubstr("decoder_sparse_step"));
  EXPECT_THAT(says(R"("norm_topk_prob": true, "num_local_experts": 4)"), HasSubstr("num_experts_per_tok"));
}

TEST(ModelConfig, TextThatIsNoJsonIsRefusedWithItsOffset) {
  EXPECT_THROW(read("{\"hidden_size\": "), BadFileError);
  EXPECT_THROW(read("[]"), BadFileError);
  EXPECT_THROW(read(""), BadFileError);
  EXPECT_THROW(read(std::string(100000, '[')), BadFileError);
}

TEST(ModelConfig, BlockScaledFloat8IsNotRefused) {
  EXPECT_NO_THROW(
      read(llama_config("quantization_config", R"("quantization_config": {"quant_method": "fp8"})")));
}

}  // namespace
}  // namespace tessera::model
