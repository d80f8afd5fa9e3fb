#include "model/source/hf_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/tensor/float16.h"

namespace tessera::model {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kEmbedding = 16;
constexpr std::uint64_t kHeads = 2;
constexpr std::uint64_t kHeadSize = 8;

/// F16 tensors whose element number i holds i.
class CountingSource : public WeightSource {
 public:
  explicit CountingSource(std::vector<TensorDescriptor> tensors) : tensors_(std::move(tensors)) {}

  const std::string& name() const override { return name_; }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::optional<std::size_t> find(std::string_view) const override { return std::nullopt; }
  void discard(std::size_t, RowRange) const override {}

  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    const std::uint64_t columns = tensors_[tensor].columns();
    scratch.clear();
    for (std::uint64_t i = rows.first * columns; i < (rows.first + rows.count) * columns; ++i) {
      const std::uint16_t bits = half_from_float(static_cast<float>(i));
      scratch.push_back(static_cast<std::byte>(bits & 0xFF));
      scratch.push_back(static_cast<std::byte>(bits >> 8));
    }
    return scratch;
  }

 private:
  std::string name_ = "model";
  std::vector<TensorDescriptor> tensors_;
};

std::vector<TensorDescriptor> llama_tensors() {
  const std::string layer = "model.layers.0.";
  const auto f16 = ElementType::F16;
  return {{"lm_head.weight", f16, {10, kEmbedding}},
          {"model.embed_tokens.weight", f16, {10, kEmbedding}},
          {layer + "input_layernorm.weight", f16, {kEmbedding}},
          {layer + "mlp.down_proj.weight", f16, {kEmbedding, 24}},
          {layer + "mlp.gate_proj.weight", f16, {24, kEmbedding}},
          {layer + "mlp.up_proj.weight", f16, {24, kEmbedding}},
          {layer + "post_attention_layernorm.weight", f16, {kEmbedding}},
          {layer + "self_attn.k_proj.weight", f16, {kHeadSize, kEmbedding}},
          {layer + "self_attn.o_proj.weight", f16, {kEmbedding, kEmbedding}},
          {layer + "self_attn.q_proj.bias", f16, {kEmbedding}},
          {layer + "self_attn.q_proj.weight", f16, {kEmbedding, kEmbedding}},
          {layer + "self_attn.rotary_emb.inv_freq", ElementType::F32, {4}},
          {layer + "self_attn.v_proj.weight", f16, {kHeadSize, kEmbedding}},
          {"model.norm.weight", f16, {kEmbedding}}};
}

ModelConfig llama_config(const std::string& more = "") {
  return read_model_config(json::JsonObject(
      R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2,
          "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 10)" +
          more + "}",
      "config.json"));
}

std::unique_ptr<WeightSource> present(std::vector<TensorDescriptor> tensors, const std::string& more = "") {
  return present_as_gguf(std::make_unique<CountingSource>(std::move(tensors)), llama_config(more));
}

float half_at(std::span<const std::byte> bytes, std::size_t index) {
  std::uint16_t bits;
  std::memcpy(&bits, bytes.data() + 2 * index, sizeof bits);
  return float_from_half(bits);
}

TEST(HfWeights, TensorsAppearUnderGgufNamesAndBuffersDoNot) {
  const auto weights = present(llama_tensors());
  EXPECT_EQ(weights->tensors().size(), llama_tensors().size() - 1);
  EXPECT_TRUE(weights->find("blk.0.attn_output.weight"));
  EXPECT_TRUE(weights->find("output.weight"));
  EXPECT_FALSE(weights->find("model.norm.weight"));
}

TEST(HfWeights, QueryRowsGoFromHalvesToPairs) {
  const auto weights = present(llama_tensors());
  const auto query = *weights->find("blk.0.attn_q.weight");
  std::vector<std::byte> scratch;
  const auto rows = weights->stored_rows(query, {0, kHeads * kHeadSize}, scratch);
  for (std::uint64_t head = 0; head < kHeads; ++head) {
    for (std::uint64_t i = 0; i < kHeadSize / 2; ++i) {
      for (std::uint64_t s = 0; s < 2; ++s) {
        const std::uint64_t output_row = head * kHeadSize + 2 * i + s;
        const std::uint64_t input_row = head * kHeadSize + s * (kHeadSize / 2) + i;
        EXPECT_EQ(half_at(rows, output_row * kEmbedding), static_cast<float>(input_row * kEmbedding));
      }
    }
  }
}

TEST(HfWeights, RowsReadOneByOneEqualRowsReadTogether) {
  const auto weights = present(llama_tensors());
  const auto query = *weights->find("blk.0.attn_q.weight");
  std::vector<std::byte> scratch;
  const auto together = weights->stored_rows(query, {3, 9}, scratch);
  const std::vector<std::byte> all(together.begin(), together.end());
  std::vector<std::byte> joined;
  for (std::uint64_t row = 3; row < 12; ++row) {
    const auto one = weights->stored_rows(query, {row, 1}, scratch);
    joined.insert(joined.end(), one.begin(), one.end());
    weights->discard(query, {row, 1});
  }
  EXPECT_EQ(joined, all);
}

TEST(HfWeights, BiasesMoveWithTheirRowsAndVectorsAreFloat32) {
  const auto weights = present(llama_tensors());
  const auto bias = *weights->find("blk.0.attn_q.bias");
  EXPECT_EQ(weights->tensors()[bias].type, ElementType::F32);
  std::vector<std::byte> scratch;
  const auto bytes = weights->stored_rows(bias, {0, 1}, scratch);
  std::vector<float> values(kEmbedding);
  ASSERT_EQ(bytes.size(), values.size() * sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  EXPECT_EQ(values, (std::vector<float>{0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15}));
}

TEST(HfWeights, Llama3ScalingPutsItsDivisorsInFront) {
  const auto weights = present(llama_tensors(), R"(, "rope_scaling": {"rope_type": "llama3"})");
  EXPECT_EQ(weights->tensors().front(),
            (TensorDescriptor{"rope_freqs.weight", ElementType::F32, {kHeadSize / 2}}));
  std::vector<std::byte> scratch;
  EXPECT_EQ(weights->stored_rows(0, {0, 1}, scratch).size(), kHeadSize / 2 * sizeof(float));
}

constexpr std::uint64_t kExperts = 3;
constexpr std::uint64_t kExpertWidth = 4;

/// A Mixtral of one layer, its experts in the order in which their names sort.
std::vector<TensorDescriptor> mixtral_tensors() {
  auto tensors = llama_tensors();
  std::erase_if(tensors, [](const auto& tensor) {
    return tensor.name.find("mlp.") != std::string::npos || tensor.name.ends_with(".bias");
  });
  const std::string block = "model.layers.0.block_sparse_moe.";
  tensors.push_back({block + "gate.weight", ElementType::F16, {kExperts, kEmbedding}});
  for (std::uint64_t expert = 0; expert < kExperts; ++expert) {
    const std::string name = block + "experts." + std::to_string(expert);
    tensors.push_back({name + ".w1.weight", ElementType::F16, {kExpertWidth, kEmbedding}});
    tensors.push_back({name + ".w2.weight", ElementType::F16, {kEmbedding, kExpertWidth}});
    tensors.push_back({name + ".w3.weight", ElementType::F16, {kExpertWidth, kEmbedding}});
  }
  return tensors;
}

std::unique_ptr<WeightSource> present_mixtral(std::vector<TensorDescriptor> tensors) {
  const auto config = read_model_config(json::JsonObject(
      R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 16, "intermediate_size": 4, "num_local_experts": 3,
          "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 10})",
      "config.json"));
  return present_as_gguf(std::make_unique<CountingSource>(std::move(tensors)), config);
}

TEST(HfWeights, ExpertsAreStackedAndReadAcrossTheirBorders) {
  const auto weights = present_mixtral(mixtral_tensors());
  const auto gate = *weights->find("blk.0.ffn_gate_exps.weight");
  EXPECT_EQ(weights->tensors()[gate],
            (TensorDescriptor{
                "blk.0.ffn_gate_exps.weight", ElementType::F16, {kExperts, kExpertWidth, kEmbedding}}));
  std::vector<std::byte> scratch;
  // The last row of expert 0, all of expert 1, the first row of expert 2.
  const auto rows = weights->stored_rows(gate, {kExpertWidth - 1, kExpertWidth + 2}, scratch);
  ASSERT_EQ(rows.size(), (kExpertWidth + 2) * kEmbedding * 2);
  EXPECT_EQ(half_at(rows, 0), static_cast<float>((kExpertWidth - 1) * kEmbedding));
  for (std::uint64_t row = 0; row < kExpertWidth; ++row)
    EXPECT_EQ(half_at(rows, (row + 1) * kEmbedding), static_cast<float>(row * kEmbedding));
  EXPECT_EQ(half_at(rows, (kExpertWidth + 1) * kEmbedding), 0.0f);
  EXPECT_NO_THROW(weights->discard(gate, {kExpertWidth - 1, kExpertWidth + 2}));
}

TEST(HfWeights, RoutersAreFloat32) {
  const auto weights = present_mixtral(mixtral_tensors());
  const auto router = *weights->find("blk.0.ffn_gate_inp.weight");
  EXPECT_EQ(weights->tensors()[router].type, ElementType::F32);
  std::vector<std::byte> scratch;
  const auto bytes = weights->stored_rows(router, {1, 1}, scratch);
  float first = 0;
  ASSERT_EQ(bytes.size(), kEmbedding * sizeof first);
  std::memcpy(&first, bytes.data(), sizeof first);
  EXPECT_EQ(first, static_cast<float>(kEmbedding));
}

TEST(HfWeights, MissingSurplusAndMixedExpertsAreRefusedByName) {
  const auto says = [](std::vector<TensorDescriptor> tensors) -> std::string {
    try {
      present_mixtral(std::move(tensors));
    } catch (const BadFileError& error) {
      return error.what();
    }
    return "accepted";
  };
  auto tensors = mixtral_tensors();
  const auto last = tensors.back();
  tensors.pop_back();
  EXPECT_THAT(says(tensors), ::testing::AllOf(HasSubstr("experts.2.w3.weight"), HasSubstr("missing")));
  tensors.push_back({last.name, ElementType::BF16, last.shape});
  EXPECT_THAT(says(tensors), ::testing::AllOf(HasSubstr("experts.2.w3.weight"), HasSubstr("one type")));
  tensors.back() = last;
  tensors.push_back({"model.layers.0.block_sparse_moe.experts.3.w3.weight", last.type, last.shape});
  EXPECT_THAT(says(tensors), ::testing::AllOf(HasSubstr("num_local_experts = 3"), HasSubstr("no expert 3")));
}

TEST(HfWeights, TiedModelsNeedNoOutputMatrix) {
  auto tensors = llama_tensors();
  tensors.erase(tensors.begin());
  EXPECT_NO_THROW(present(tensors, R"(, "tie_word_embeddings": true)"));
  EXPECT_THROW(present(tensors), BadFileError);
}

struct Damage {
  std::string name;
  std::function<void(std::vector<TensorDescriptor>&)> apply;
  std::string tensor;
  std::string says;
};

void PrintTo(const Damage& value, std::ostream* out) { *out << value.name; }

class RefusedWeights : public ::testing::TestWithParam<Damage> {};

TEST_P(RefusedWeights, NamesTheTensor) {
  auto tensors = llama_tensors();
  GetParam().apply(tensors);
  try {
    present(tensors);
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().tensor));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

using Tensors = std::vector<TensorDescriptor>;

INSTANTIATE_TEST_SUITE_P(
    Damaged, RefusedWeights,
    ::testing::Values(
        Damage{"Missing", [](Tensors& list) { list.erase(list.begin() + 3); },
               "model.layers.0.mlp.down_proj.weight", "missing"},
        Damage{"UnknownName", [](Tensors& list) { list[3].name = "model.layers.0.mlp.router.weight"; },
               "model.layers.0.mlp.router.weight", "LlamaForCausalLM has no tensor of this name"},
        Damage{"LayerBeyondTheLast",
               [](Tensors& list) { list[3].name = "model.layers.1.mlp.down_proj.weight"; },
               "model.layers.1.mlp.down_proj.weight", "num_hidden_layers = 1"},
        Damage{"LeadingZero", [](Tensors& list) { list[3].name = "model.layers.00.mlp.down_proj.weight"; },
               "model.layers.00.mlp.down_proj.weight", "no tensor of this name"},
        Damage{"LayerBeyond32Bits",
               [](Tensors& list) { list[3].name = "model.layers.4294967296.mlp.down_proj.weight"; },
               "model.layers.4294967296", "no tensor of this name"},
        Damage{"WrongShape",
               [](Tensors& list) {
                 list[3].shape = {24, 16};
               },
               "model.layers.0.mlp.down_proj.weight", "[24, 16], by config.json it should be [16, 24]"},
        Damage{"MatrixAsVector", [](Tensors& list) { list[3].shape = {384}; },
               "model.layers.0.mlp.down_proj.weight", "[384]"},
        Damage{"Integers", [](Tensors& list) { list[3].type = ElementType::I32; },
               "model.layers.0.mlp.down_proj.weight", "I32"}),
    [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tessera::model
