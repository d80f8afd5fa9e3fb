// W8A8 tensors of a Hugging Face folder under GGUF names, their scales, and how they look decoded.
#include "model/source/int8_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <string>

#include "foundation/base/error.h"
#include "foundation/tensor/float16.h"
#include "model/source/hf_weights.h"

namespace tessera::model {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kEmbedding = 16;
constexpr std::uint64_t kHeadSize = 8;

/// Tensors in memory, all bytes as they are stored.
class StoredTensors : public WeightSource {
 public:
  void add(const std::string& tensor, ElementType type, std::vector<std::uint64_t> shape,
           const std::function<float(std::uint64_t element)>& value) {
    TensorDescriptor descriptor{tensor, type, std::move(shape)};
    std::vector<std::byte> bytes;
    for (std::uint64_t i = 0; i < descriptor.weights(); ++i) append(bytes, type, value(i));
    tensors_.push_back(std::move(descriptor));
    bytes_.push_back(std::move(bytes));
  }
  TensorDescriptor& tensor(const std::string& tensor_name) { return tensors_[*find(tensor_name)]; }
  void set_bfloat16(const std::string& tensor_name, std::size_t element, float value) {
    const std::uint16_t bits = bfloat16_from_float(value);
    std::memcpy(bytes_[*find(tensor_name)].data() + element * sizeof bits, &bits, sizeof bits);
  }
  void set_float(const std::string& tensor_name, std::size_t element, float value) {
    std::memcpy(bytes_[*find(tensor_name)].data() + element * sizeof value, &value, sizeof value);
  }

  const std::string& name() const override { return name_; }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  void discard(std::size_t, RowRange) const override {}
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>&) const override {
    const auto row = row_bytes(tensors_[tensor].type, tensors_[tensor].columns());
    return std::span(bytes_[tensor]).subspan(rows.first * row, rows.count * row);
  }

 private:
  static void append(std::vector<std::byte>& bytes, ElementType type, float value) {
    std::byte stored[4];
    const std::uint16_t bfloat16 = bfloat16_from_float(value);
    const auto code = static_cast<std::int8_t>(value);
    switch (type) {
      case ElementType::I8:
        std::memcpy(stored, &code, 1);
        break;
      case ElementType::BF16:
        std::memcpy(stored, &bfloat16, 2);
        break;
      default:
        std::memcpy(stored, &value, 4);
    }
    bytes.insert(bytes.end(), stored, stored + info(type).block_bytes);
  }

  std::string name_ = "model";
  std::vector<TensorDescriptor> tensors_;
  std::vector<std::vector<std::byte>> bytes_;
};

float code_of(std::uint64_t element) {
  return static_cast<float>(static_cast<int>(element * 37 % 255) - 127);
}

/// One layer of Llama whose linears are int8; scale number i of a tensor is i + 1.
StoredTensors int8_llama(bool static_inputs) {
  StoredTensors source;
  const auto ones = [](std::uint64_t) { return 1.0f; };
  const auto linear = [&](const std::string& stem, std::uint64_t rows, std::uint64_t columns) {
    source.add(stem + ".weight", ElementType::I8, {rows, columns}, code_of);
    source.add(stem + ".weight_scale", ElementType::BF16, {rows, 1},
               [](std::uint64_t i) { return static_cast<float>(i + 1); });
    if (static_inputs) source.add(stem + ".input_scale", ElementType::F32, {1}, [](auto) { return 0.5f; });
  };
  const std::string layer = "model.layers.0.";
  source.add("lm_head.weight", ElementType::F32, {10, kEmbedding}, ones);
  source.add("model.embed_tokens.weight", ElementType::F32, {10, kEmbedding}, ones);
  source.add("model.norm.weight", ElementType::F32, {kEmbedding}, ones);
  source.add(layer + "input_layernorm.weight", ElementType::F32, {kEmbedding}, ones);
  source.add(layer + "post_attention_layernorm.weight", ElementType::F32, {kEmbedding}, ones);
  linear(layer + "self_attn.q_proj", kEmbedding, kEmbedding);
  linear(layer + "self_attn.k_proj", kHeadSize, kEmbedding);
  linear(layer + "self_attn.v_proj", kHeadSize, kEmbedding);
  linear(layer + "self_attn.o_proj", kEmbedding, kEmbedding);
  linear(layer + "mlp.gate_proj", 24, kEmbedding);
  linear(layer + "mlp.up_proj", 24, kEmbedding);
  linear(layer + "mlp.down_proj", kEmbedding, 24);
  return source;
}

std::unique_ptr<WeightSource> present(StoredTensors source, std::optional<Int8Scheme> scheme) {
  ModelConfig config = read_model_config(json::JsonObject(
      R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
          "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 10})",
      "config.json"));
  config.int8 = scheme;
  return present_as_gguf(std::make_unique<StoredTensors>(std::move(source)), config);
}

constexpr Int8Scheme kDynamic{.static_inputs = false};
constexpr Int8Scheme kStatic{.static_inputs = true};

TEST(Int8Weights, AppearAsCodesBesideTheirScales) {
  const auto dynamic = present(int8_llama(false), kDynamic);
  const auto gate = *dynamic->find("blk.0.ffn_gate.weight");
  EXPECT_EQ(dynamic->tensors()[gate].type, ElementType::I8);
  EXPECT_EQ(dynamic->tensors()[*dynamic->find("blk.0.ffn_gate.weight_scale")],
            (TensorDescriptor{"blk.0.ffn_gate.weight_scale", ElementType::F32, {24}}));
  const auto scales = read_int8_scales(*dynamic, gate);
  EXPECT_EQ(scales.rows.size(), 24u);
  EXPECT_EQ(scales.rows[23], 24.0f);
  EXPECT_FALSE(scales.input);
  const auto fixed = present(int8_llama(true), kStatic);
  EXPECT_EQ(read_int8_scales(*fixed, *fixed->find("blk.0.ffn_gate.weight")).input, 0.5f);
}

TEST(Int8Weights, ScalesOfQueriesAndKeysMoveWithTheirRows) {
  const auto weights = present(int8_llama(false), kDynamic);
  const auto query = read_int8_scales(*weights, *weights->find("blk.0.attn_q.weight"));
  EXPECT_EQ(query.rows, (std::vector<float>{1, 5, 2, 6, 3, 7, 4, 8, 9, 13, 10, 14, 11, 15, 12, 16}));
  const auto key = read_int8_scales(*weights, *weights->find("blk.0.attn_k.weight"));
  EXPECT_EQ(key.rows, (std::vector<float>{1, 5, 2, 6, 3, 7, 4, 8}));
  const auto value = read_int8_scales(*weights, *weights->find("blk.0.attn_v.weight"));
  EXPECT_EQ(value.rows, (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(Int8Weights, DecodedTheyAreCodesTimesTheScaleOfTheirRowAndScalesAreGone) {
  const auto weights = present(int8_llama(true), kStatic);
  const DecodedInt8Weights decoded(*weights);
  EXPECT_FALSE(decoded.find("blk.0.ffn_gate.weight_scale"));
  EXPECT_FALSE(decoded.find("blk.0.ffn_gate.input_scale"));
  EXPECT_EQ(decoded.tensors().size(), 12u);
  const auto gate = *decoded.find("blk.0.ffn_gate.weight");
  EXPECT_EQ(decoded.tensors()[gate].type, ElementType::F32);
  std::vector<std::byte> scratch;
  const auto bytes = decoded.stored_rows(gate, {3, 2}, scratch);
  for (std::uint64_t i = 0; i < 2 * kEmbedding; ++i) {
    float weight = 0;
    std::memcpy(&weight, bytes.data() + i * sizeof weight, sizeof weight);
    EXPECT_EQ(weight, code_of(3 * kEmbedding + i) * static_cast<float>(4 + i / kEmbedding));
  }
}

struct Damage {
  std::string name;
  std::function<void(StoredTensors&)> apply;
  std::optional<Int8Scheme> scheme;
  std::string says;
};

void PrintTo(const Damage& value, std::ostream* out) { *out << value.name; }

class RefusedInt8Weights : public ::testing::TestWithParam<Damage> {};

TEST_P(RefusedInt8Weights, NamesTheTensor) {
  StoredTensors source = int8_llama(GetParam().scheme && GetParam().scheme->static_inputs);
  GetParam().apply(source);
  try {
    const DecodedInt8Weights decoded(present(std::move(source), GetParam().scheme));
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("blk.0.ffn_gate")) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

class RefusedInt8Tensors : public RefusedInt8Weights {};

TEST_P(RefusedInt8Tensors, NamesTheTensorOfTheFile) {
  StoredTensors source = int8_llama(GetParam().scheme && GetParam().scheme->static_inputs);
  GetParam().apply(source);
  try {
    present(std::move(source), GetParam().scheme);
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

const std::string kGate = "model.layers.0.mlp.gate_proj";
/// The same model without scales, in F32.
StoredTensors floats_of(const StoredTensors& source) {
  StoredTensors floats;
  for (const auto& tensor : source.tensors()) {
    if (is_scale_name(tensor.name)) continue;
    floats.add(tensor.name, ElementType::F32, tensor.shape, [](auto) { return 1.0f; });
  }
  return floats;
}

constexpr auto kNothing = [](StoredTensors&) {};

void set_scale(StoredTensors& source, std::size_t element, float value) {
  source.set_bfloat16(kGate + ".weight_scale", element, value);
}

INSTANTIATE_TEST_SUITE_P(
    Scales, RefusedInt8Weights,
    ::testing::Values(
        Damage{"NaN", [](auto& s) { set_scale(s, 7, std::numeric_limits<float>::quiet_NaN()); }, kDynamic,
               "scale 7 is nan"},
        Damage{"Infinite", [](auto& s) { set_scale(s, 0, std::numeric_limits<float>::infinity()); }, kDynamic,
               "scale 0 is inf"},
        Damage{"Negative", [](auto& s) { set_scale(s, 23, -1.0f); }, kDynamic, "scale 23 is -1"},
        Damage{"Zero", [](auto& s) { set_scale(s, 1, 0.0f); }, kDynamic, "scale 1 is 0"},
        Damage{"NegativeInput", [](auto& s) { s.set_float(kGate + ".input_scale", 0, -0.5f); }, kStatic,
               "scale 0 is -0.5"}),
    [](const auto& parameter) { return parameter.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Folder, RefusedInt8Tensors,
    ::testing::Values(
        Damage{"WithoutConfig", kNothing, std::nullopt, "config.json has no quantization_config"},
        Damage{"ScalesWithoutConfig",
               [](auto& s) {
                 s = floats_of(s);
                 s.add("lm_head.weight_scale", ElementType::F32, {10, 1}, [](auto) { return 1.0f; });
               },
               std::nullopt, "no tensor of this name"},
        Damage{"MissingScales",
               [](auto& s) { s.tensor(kGate + ".weight_scale").name = "lm_head.weight_scale"; }, kDynamic,
               "lm_head.weight_scale"},
        Damage{"ScalesOfAFloatMatrix",
               [](auto& s) {
                 s.add("lm_head.weight_scale", ElementType::F32, {10, 1}, [](auto) { return 1.0f; });
               },
               kDynamic, "lm_head.weight' is not I8"},
        Damage{"WrongShape",
               [](auto& s) {
                 s.tensor(kGate + ".weight_scale").shape = {1, 24};
               },
               kDynamic, "[1, 24], by config.json it should be [24, 1]"},
        Damage{"IntegerScales", [](auto& s) { s.tensor(kGate + ".weight_scale").type = ElementType::I16; },
               kDynamic, "floating point was expected"},
        Damage{"StaticWithoutInputScales", [](auto& s) { s = int8_llama(false); }, kStatic,
               "input_scale' are missing"},
        Damage{"DynamicWithInputScales", [](auto& s) { s = int8_llama(true); }, kDynamic,
               "there is no input scale"},
        Damage{"Int8Embedding", [](auto& s) { s.tensor("model.embed_tokens.weight").type = ElementType::I8; },
               kDynamic, "model.embed_tokens.weight"},
        Damage{"NothingInt8", [](auto& s) { s = floats_of(s); }, kDynamic, "no tensor is I8"}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(Int8Weights, AnI8TensorWithoutScalesIsRefusedFromAnySource) {
  StoredTensors source;
  source.add("blk.0.attn_q.weight", ElementType::I8, {2, 2}, code_of);
  EXPECT_THROW(DecodedInt8Weights{source}, BadFileError);
  source.add("blk.0.attn_q.weight_scale", ElementType::F32, {3}, [](auto) { return 1.0f; });
  EXPECT_THROW(read_int8_scales(source, 0), BadFileError);
}

}  // namespace
}  // namespace tessera::model
