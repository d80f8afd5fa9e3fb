// config.json made of GGUF metadata, judged by reading it: the metadata must come out again.
#include "model/architecture/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "foundation/base/error.h"
#include "model/architecture/model_config.h"
#include "model/source/open_model.h"
#include "tensor/memory_source.h"

namespace tessera::model {
namespace {

using ::testing::HasSubstr;

class ReadBack : public ::testing::TestWithParam<const char*> {};

TEST_P(ReadBack, GivesTheSameMetadata) {
  const auto model = open_model(std::string(TESSERA_TESTDATA "/convert/") + GetParam() + ".gguf");
  const json::Value json = config_of_metadata(model.metadata, *model.weights);
  const ModelConfig config = read_model_config(json::JsonObject(json.dump(), "config.json"));
  gguf::Metadata metadata;
  add_architecture_metadata(config, 1, metadata);
  for (const auto& [key, value] : metadata.entries()) {
    if (key == "general.file_type") continue;
    ASSERT_NE(model.metadata.find(key), nullptr) << key;
    EXPECT_EQ(*model.metadata.find(key), value) << key;
  }
  const bool has_divisors = model.weights->find("rope_freqs.weight").has_value();
  EXPECT_EQ(!config.rope.frequency_divisors.empty(), has_divisors);
}

TEST(ConfigOfMetadata, HasTheUsualRopeBaseWhereTheFileSaysNone) {
  auto model = open_model(std::string(TESSERA_TESTDATA "/convert/mistral.gguf"));
  ASSERT_TRUE(model.metadata.contains("llama.rope.freq_base"));
  model.metadata.erase("llama.rope.freq_base");
  EXPECT_EQ(config_of_metadata(model.metadata, *model.weights).at("rope_theta"), 10000.0);
}

INSTANTIATE_TEST_SUITE_P(Families, ReadBack,
                         ::testing::Values("llama-3-tied", "llama-bias", "llama-gpt2", "mistral", "qwen2",
                                           "qwen3"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(HfConfig, NumbersAreWrittenAsShortAsTheyWere) {
  const auto model = open_model(TESSERA_TESTDATA "/convert/mistral.gguf");
  const json::Value config = config_of_metadata(model.metadata, *model.weights);
  EXPECT_EQ(config["rms_norm_eps"].dump(), "1e-05");
  EXPECT_EQ(config["architectures"].dump(), R"(["LlamaForCausalLM"])");
}

/// A model without layers' tensors: what config_of_metadata looks at.
struct Model {
  Model() {
    metadata.set("general.architecture", std::string("llama"));
    for (const char* key : {"block_count", "attention.head_count"}) metadata.set(full(key), std::uint32_t{2});
    for (const char* key : {"context_length", "embedding_length", "feed_forward_length"})
      metadata.set(full(key), std::uint32_t{64});
    metadata.set(full("attention.layer_norm_rms_epsilon"), 1e-5f);
    weights.add("token_embd.weight", ElementType::F32, {4, 64}, std::vector<float>(256));
  }
  static std::string full(const std::string& key) { return "llama." + key; }
  void add_bias(const std::string& name) {
    weights.add(name, ElementType::F32, {64}, std::vector<float>(64));
  }
  void add_divisors(std::vector<float> values) {
    weights.add("rope_freqs.weight", ElementType::F32, {values.size()}, values);
  }

  gguf::Metadata metadata;
  testing::MemorySource weights;
};

TEST(HfConfig, MissingKeysThatHaveDefaultsAreLeftToThem) {
  const Model model;
  const json::Value config = config_of_metadata(model.metadata, model.weights);
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_FALSE(config.contains("head_dim"));
  EXPECT_EQ(config["tie_word_embeddings"], true);
  EXPECT_EQ(config["vocab_size"], 4);
  EXPECT_EQ(config["attention_bias"], false);
}

struct Mistake {
  std::string name;
  std::function<void(Model&)> apply;
  std::string says;
};

void PrintTo(const Mistake& value, std::ostream* out) { *out << value.name; }

class RefusedMetadata : public ::testing::TestWithParam<Mistake> {};

TEST_P(RefusedMetadata, SaysWhatConfigCannotSay) {
  Model model;
  GetParam().apply(model);
  try {
    config_of_metadata(model.metadata, model.weights);
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, RefusedMetadata,
    ::testing::Values(
        Mistake{"NoArchitecture", [](Model& m) { m.metadata.erase("general.architecture"); },
                "general.architecture"},
        Mistake{"UnknownArchitecture",
                [](Model& m) { m.metadata.set("general.architecture", std::string("gemma")); },
                "known are llama, qwen2, qwen3"},
        Mistake{"Experts", [](Model& m) { m.metadata.set("llama.expert_count", std::uint32_t{8}); },
                "experts"},
        Mistake{"UnknownKey", [](Model& m) { m.metadata.set("llama.attention.scale", 0.5f); },
                "llama.attention.scale"},
        Mistake{"NoLayers", [](Model& m) { m.metadata.erase("llama.block_count"); }, "llama.block_count"},
        Mistake{"HeadsPerLayer",
                [](Model& m) {
                  m.metadata.set("llama.attention.head_count", gguf::Array(std::vector<std::uint32_t>{2, 2}));
                },
                "llama.attention.head_count"},
        Mistake{"NoEpsilon", [](Model& m) { m.metadata.erase("llama.attention.layer_norm_rms_epsilon"); },
                "layer_norm_rms_epsilon"},
        Mistake{"PartlyRotatedHeads",
                [](Model& m) { m.metadata.set("llama.rope.dimension_count", std::uint32_t{16}); },
                "llama.rope.dimension_count"},
        Mistake{"UnknownScaling",
                [](Model& m) { m.metadata.set("llama.rope.scaling.type", std::string("longrope")); },
                "longrope"},
        Mistake{"ScalingWithoutFactor",
                [](Model& m) { m.metadata.set("llama.rope.scaling.type", std::string("linear")); },
                "llama.rope.scaling.factor"},
        Mistake{"SomeBiases", [](Model& m) { m.add_bias("blk.0.attn_q.bias"); }, "attn_q.bias"},
        Mistake{"StrangeDivisors", [](Model& m) { m.add_divisors(std::vector<float>(16, 3.5f)); },
                "rope_freqs.weight"},
        Mistake{"NoDivisors", [](Model& m) { m.add_divisors({-1.0f}); }, "rope"}),
    [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tessera::model
