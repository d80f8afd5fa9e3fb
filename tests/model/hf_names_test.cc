#include "model/source/hf_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/formats/json/json_object.h"
#include "model/source/hf_weights.h"

namespace tessera::model {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kWidth = 16;  // 2 heads of 8, 1 key/value head
constexpr std::uint64_t kHead = 8;

/// Tensors whose bytes are all different within a row and between rows, as far as bytes go.
class PatternSource : public WeightSource {
 public:
  explicit PatternSource(std::vector<TensorDescriptor> tensors) : tensors_(std::move(tensors)) {
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      std::vector<std::byte> bytes(tensors_[t].bytes());
      for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::byte>((31 * t + 7 * i) % 251);
      bytes_.push_back(std::move(bytes));
    }
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
  std::string name_ = "model";
  std::vector<TensorDescriptor> tensors_;
  std::vector<std::vector<std::byte>> bytes_;
};

using Tensors = std::vector<TensorDescriptor>;

Tensors gguf_tensors() {
  const auto f32 = ElementType::F32;
  const auto f16 = ElementType::F16;
  return {{"rope_freqs.weight", f32, {kHead / 2}},       {"token_embd.weight", f16, {10, kWidth}},
          {"output.weight", f16, {10, kWidth}},          {"output_norm.weight", f32, {kWidth}},
          {"blk.0.attn_norm.weight", f32, {kWidth}},     {"blk.0.attn_q.weight", f16, {kWidth, kWidth}},
          {"blk.0.attn_q.bias", f32, {kWidth}},          {"blk.0.attn_k.weight", f16, {kHead, kWidth}},
          {"blk.0.attn_v.weight", f16, {kHead, kWidth}}, {"blk.0.attn_output.weight", f16, {kWidth, kWidth}},
          {"blk.0.ffn_norm.weight", f32, {kWidth}},      {"blk.0.ffn_gate.weight", f16, {24, kWidth}},
          {"blk.0.ffn_up.weight", f16, {24, kWidth}},    {"blk.0.ffn_down.weight", f16, {kWidth, 24}}};
}

/// The query matrix in 8 bits, with scales of rows and of activations.
Tensors int8_tensors() {
  Tensors tensors = gguf_tensors();
  tensors[5].type = ElementType::I8;
  tensors.push_back({"blk.0.attn_q.weight_scale", ElementType::F32, {kWidth}});
  tensors.push_back({"blk.0.attn_q.input_scale", ElementType::F32, {1}});
  return tensors;
}

ModelConfig config() {
  return read_model_config(json::JsonObject(
      R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2,
          "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 10})",
      "config.json"));
}

std::vector<std::byte> all_rows(const WeightSource& source, const std::string& tensor) {
  const auto found = source.find(tensor);
  EXPECT_TRUE(found) << tensor;
  std::vector<std::byte> scratch;
  const auto rows = source.stored_rows(*found, {0, source.tensors()[*found].rows()}, scratch);
  return {rows.begin(), rows.end()};
}

TEST(HfNames, PresentingThereAndBackChangesNothing) {
  const PatternSource source(gguf_tensors());
  const auto back = present_as_gguf(present_as_hf(source, config()), config());
  ASSERT_EQ(back->tensors().size(), source.tensors().size() - 1);  // without rope_freqs.weight
  for (std::size_t i = 0; i < back->tensors().size(); ++i) {
    EXPECT_EQ(back->tensors()[i], source.tensors()[i + 1]);
    EXPECT_EQ(all_rows(*back, back->tensors()[i].name), all_rows(source, back->tensors()[i].name));
  }
}

TEST(HfNames, QueryRowsGoFromPairsToHalves) {
  const PatternSource source(gguf_tensors());
  const auto hf = present_as_hf(source, config());
  const auto from = all_rows(source, "blk.0.attn_q.weight");
  const auto to = all_rows(*hf, "model.layers.0.self_attn.q_proj.weight");
  const std::uint64_t row = 2 * kWidth;
  for (std::uint64_t head = 0; head < 2; ++head) {
    for (std::uint64_t i = 0; i < kHead; ++i) {
      const std::uint64_t pair = head * kHead + 2 * (i % 4) + i / 4;
      EXPECT_EQ(std::memcmp(to.data() + (head * kHead + i) * row, from.data() + pair * row, row), 0);
    }
  }
}

TEST(HfNames, RowsReadInPiecesEqualRowsReadTogether) {
  const PatternSource source(int8_tensors());
  const auto hf = present_as_hf(source, config());
  for (const std::string stem : {"q_proj.weight", "q_proj.weight_scale", "k_proj.weight"}) {
    const std::string name = "model.layers.0.self_attn." + stem;
    const auto tensor = *hf->find(name);
    std::vector<std::byte> joined;
    for (std::uint64_t row = 0; row < hf->tensors()[tensor].rows(); ++row) {
      std::vector<std::byte> scratch;
      const auto one = hf->stored_rows(tensor, {row, 1}, scratch);
      joined.insert(joined.end(), one.begin(), one.end());
      hf->discard(tensor, {row, 1});
    }
    EXPECT_EQ(joined, all_rows(*hf, name)) << name;
  }
}

TEST(HfNames, ScalesBecomeColumnsAndMoveWithTheirRows) {
  const PatternSource source(int8_tensors());
  const auto hf = present_as_hf(source, config());
  const std::string stem = "model.layers.0.self_attn.q_proj.";
  EXPECT_EQ(hf->tensors()[*hf->find(stem + "weight")].type, ElementType::I8);
  EXPECT_EQ(hf->tensors()[*hf->find(stem + "weight_scale")].shape, (std::vector<std::uint64_t>{kWidth, 1}));
  EXPECT_EQ(hf->tensors()[*hf->find(stem + "input_scale")].shape, (std::vector<std::uint64_t>{1}));
  const auto from = all_rows(source, "blk.0.attn_q.weight_scale");
  const auto to = all_rows(*hf, stem + "weight_scale");
  EXPECT_EQ(std::memcmp(to.data() + 4, from.data() + 2 * 4, 4), 0);
  EXPECT_EQ(all_rows(*hf, stem + "input_scale"), all_rows(source, "blk.0.attn_q.input_scale"));
}

struct Damage {
  std::string name;
  std::function<void(Tensors&)> apply;
  std::string says;
};

void PrintTo(const Damage& value, std::ostream* out) { *out << value.name; }

class RefusedNames : public ::testing::TestWithParam<Damage> {};

TEST_P(RefusedNames, SaysWhatIsWrong) {
  auto tensors = int8_tensors();
  GetParam().apply(tensors);
  const PatternSource source(tensors);
  try {
    present_as_hf(source, config());
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().says));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Damaged, RefusedNames,
    ::testing::Values(Damage{"UnknownName", [](Tensors& list) { list[4].name = "blk.0.ffn_gate_inp.weight"; },
                             "blk.0.ffn_gate_inp.weight"},
                      Damage{"LayerBeyondTheLast",
                             [](Tensors& list) { list[4].name = "blk.1.attn_norm.weight"; },
                             "blk.1.attn_norm.weight"},
                      Damage{"Missing", [](Tensors& list) { list.erase(list.begin() + 4); },
                             "tensor 'blk.0.attn_norm.weight': this tensor is missing"},
                      Damage{"WrongShape",
                             [](Tensors& list) {
                               list[5].shape = {8, kWidth};
                             },
                             "blk.0.attn_q.weight': the shape is [8, 16]"},
                      Damage{"Twice", [](Tensors& list) { list.push_back(list[4]); }, "two tensors"},
                      Damage{"CodesWithoutScales", [](Tensors& list) { list.erase(list.end() - 2); }, "I8"},
                      Damage{"ScalesOfAnotherShape", [](Tensors& list) { list[14].shape = {kWidth - 1}; },
                             "F32 [16] was expected"},
                      Damage{"ScalesInHalfPrecision", [](Tensors& list) { list[14].type = ElementType::F16; },
                             "F32 [16] was expected"},
                      Damage{"ScaleOfANorm",
                             [](Tensors& list) {
                               list.push_back({"blk.0.attn_norm.weight_scale", ElementType::F32, {kWidth}});
                             },
                             "blk.0.attn_norm.weight_scale"}),
    [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tessera::model
