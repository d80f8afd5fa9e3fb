#include "model/architecture/rope_scaling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tessera::model {
namespace {

RopeScaling read(const std::string& config, std::uint32_t head_size = 128) {
  return read_rope_scaling(json::JsonObject(config, "config.json"), 131072, head_size);
}

/// Divisors that are neither 1 nor the factor, as torch computes them with the converter's formula (float32).
struct Interpolated {
  std::string config;
  std::uint32_t head_size;
  float factor;
  std::size_t unscaled;  ///< leading divisors of 1
  std::vector<float> between;
};

TEST(RopeScaling, Llama3DivisorsAreTheReferencesBitForBit) {
  const std::vector<Interpolated> cases = {
      {R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})",
       128,
       8.0f,
       29,
       {0x1.351daap+0f, 0x1.8dac94p+0f, 0x1.035e3ap+1f, 0x1.58e65cp+1f, 0x1.d7959cp+1f, 0x1.50780cp+2f}},
      {R"({"rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})",
       64,
       32.0f,
       15,
       {0x1.a6bd84p+0f, 0x1.a568dep+1f, 0x1.3555dcp+3f}},
      {R"({"rope_theta": 1000000, "original_max_position_embeddings": 5000,
          "rope_scaling": {"type": "llama3", "factor": 2.5, "low_freq_factor": 1.5, "high_freq_factor": 3}})",
       128,
       2.5f,
       26,
       {0x1.0a0174p+0f, 0x1.5b7ef6p+0f, 0x1.cd66b4p+0f, 0x1.39839ap+1f}},
  };
  for (const auto& expected : cases) {
    std::vector<float> divisors(expected.unscaled, 1.0f);
    divisors.insert(divisors.end(), expected.between.begin(), expected.between.end());
    divisors.resize(expected.head_size / 2, expected.factor);
    EXPECT_EQ(read(expected.config, expected.head_size).frequency_divisors, divisors) << expected.config;
  }
}

TEST(RopeScaling, BaseStandsBesideOrInsideTheParameters) {
  EXPECT_EQ(read(R"({"rope_theta": 1000000})").base, 1000000);
  EXPECT_EQ(read(R"({"rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}})").base, 500000);
  EXPECT_EQ(read("{}").base, 10000);
}

TEST(RopeScaling, UnscaledModelsWriteNothing) {
  const RopeScaling rope = read(R"({"rope_scaling": null, "rope_theta": 10000.0})");
  EXPECT_TRUE(rope.metadata.empty());
  EXPECT_TRUE(rope.frequency_divisors.empty());
}

TEST(RopeScaling, YarnWritesItsSettings) {
  const RopeScaling rope =
      read(R"({"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 16, "attn_factor": 2,
                                    "original_max_position_embeddings": 32768}})");
  const std::vector<std::pair<std::string_view, gguf::Value>> expected = {
      {"type", std::string("yarn")},
      {"factor", 4.0f},
      {"original_context_length", std::uint32_t{32768}},
      {"yarn_attn_factor", 2.0f},
      {"yarn_beta_fast", 16.0f},
  };
  EXPECT_EQ(rope.metadata, expected);
}

TEST(RopeScaling, YarnWithoutOriginalContextTakesTheModels) {
  const RopeScaling rope = read(R"({"rope_scaling": {"type": "yarn", "factor": 4.0}})");
  ASSERT_EQ(rope.metadata.size(), 3u);
  EXPECT_EQ(rope.metadata[2].second, gguf::Value(std::uint32_t{131072}));
}

}  // namespace
}  // namespace tessera::model
