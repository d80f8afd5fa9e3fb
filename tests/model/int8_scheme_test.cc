#include "model/architecture/int8_scheme.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "foundation/base/error.h"
#include "model/architecture/model_config.h"

namespace tessera::model {
namespace {

using ::testing::HasSubstr;

/// As compressed-tensors 0.17 writes it.
constexpr const char* kDynamic = R"({
  "config_groups": {"group_0": {
    "format": "int-quantized",
    "input_activations": {"actorder": null, "block_structure": null, "dynamic": true, "group_size": null,
                          "num_bits": 8, "observer": null, "observer_kwargs": {}, "scale_dtype": null,
                          "strategy": "token", "symmetric": true, "type": "int", "zp_dtype": null},
    "output_activations": null,
    "targets": ["Linear"],
    "weights": {"actorder": null, "block_structure": null, "dynamic": false, "group_size": null,
                "num_bits": 8, "observer": "memoryless_minmax", "observer_kwargs": {}, "scale_dtype": null,
                "strategy": "channel", "symmetric": true, "type": "int", "zp_dtype": null}}},
  "format": "int-quantized", "global_compression_ratio": null, "ignore": ["lm_head"],
  "kv_cache_scheme": null, "quant_method": "compressed-tensors", "quantization_status": "compressed",
  "sparsity_config": {}, "transform_config": {}, "version": "0.17.1"})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

const std::string kStatic = replaced(replaced(kDynamic, R"("dynamic": true)", R"("dynamic": false)"),
                                     R"("strategy": "token")", R"("strategy": "tensor")");

Int8Scheme read(const std::string& text) { return read_int8_scheme(json::JsonObject(text, "config.json")); }

TEST(Int8Scheme, DynamicAndStaticActivationsAreTold) {
  EXPECT_FALSE(read(kDynamic).static_inputs);
  EXPECT_TRUE(read(kStatic).static_inputs);
}

TEST(Int8Scheme, IsPartOfTheModelConfig) {
  const std::string sizes =
      R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
          "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 10)";
  const auto config = [&](const std::string& more) {
    return read_model_config(json::JsonObject(sizes + more + "}", "config.json"));
  };
  EXPECT_FALSE(config("").int8);
  EXPECT_TRUE(config(R"(, "quantization_config": )" + kStatic).int8->static_inputs);
  EXPECT_THROW(config(R"(, "quantization_config": {"quant_method": "gptq"})"), BadFileError);
  EXPECT_THROW(config(R"(, "quantization_config": {"quant_method": "compressed-tensors"})"), BadFileError);
}

struct Change {
  std::string name;
  std::string from, to;
  std::string says;
};

void PrintTo(const Change& value, std::ostream* out) { *out << value.name; }

class RefusedScheme : public ::testing::TestWithParam<Change> {};

TEST_P(RefusedScheme, NamesWhatIsUnsupported) {
  try {
    read(replaced(kDynamic, GetParam().from, GetParam().to));
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Unsupported, RefusedScheme,
    ::testing::Values(
        Change{"FourBits", R"("num_bits": 8, "observer": "mem)", R"("num_bits": 4, "observer": "mem)",
               "weights.num_bits"},
        Change{"FloatCodes", R"("type": "int", "zp_dtype": null}}})",
               R"("type": "float", "zp_dtype": null}}})", "weights.type"},
        Change{"Asymmetric", R"("symmetric": true, "type": "int", "zp_dtype": null},)",
               R"("symmetric": false, "type": "int", "zp_dtype": null},)", "input_activations.symmetric"},
        Change{"Groups", R"("strategy": "channel")", R"("strategy": "group")", "weights.strategy"},
        Change{"GroupSize", R"("group_size": null,
                "num_bits)",
               R"("group_size": 128,
                "num_bits)",
               "weights.group_size"},
        Change{"ReorderedColumns", R"("weights": {"actorder": null)", R"("weights": {"actorder": "static")",
               "weights.actorder"},
        Change{"DynamicWeights", R"("dynamic": false)", R"("dynamic": true)", "weights.dynamic"},
        Change{"DynamicTensor", R"("strategy": "token")", R"("strategy": "tensor")",
               "input_activations.strategy"},
        Change{"WeightsAlone", R"("input_activations": {)", R"("input": {)", "input_activations.strategy"},
        Change{"QuantizedOutputs", R"("output_activations": null)",
               R"("output_activations": {"num_bits": 8})", "output_activations"},
        Change{"QuantizedCache", R"("kv_cache_scheme": null)", R"("kv_cache_scheme": {"num_bits": 8})",
               "kv_cache_scheme"},
        Change{"Sparse", R"("sparsity_config": {})", R"("sparsity_config": {"format": "24"})",
               "sparsity_config"},
        Change{"PackedFormat", R"("format": "int-quantized", "global)",
               R"("format": "pack-quantized", "global)", "format"},
        Change{"GroupOfAnotherFormat", R"("format": "int-quantized",
    "input)",
               R"("format": "float-quantized",
    "input)",
               "group_0.format"},
        Change{"NotCompressed", R"("quantization_status": "compressed")",
               R"("quantization_status": "frozen")", "quantization_status"},
        Change{"NoGroups", R"("config_groups")", R"("groups")", "config_groups"},
        Change{"WrongType", R"("strategy": "channel")", R"("strategy": 7)", "strategy"}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(QuantizationConfig, SaysWhatTheLibraryWritesForBothKindsOfActivations) {
  const std::string folder = TESSERA_SOURCE "/fuzz/seeds/model_config_fuzz/";
  for (const auto& [file, is_static] :
       {std::pair("llama-w8a8.json", true), {"llama-w8a8-dynamic.json", false}}) {
    const auto config = json::Value::parse(json::read_text_file(folder + file));
    EXPECT_EQ(to_quantization_config({.static_inputs = is_static}), config.at("quantization_config")) << file;
  }
}

}  // namespace
}  // namespace tessera::model
