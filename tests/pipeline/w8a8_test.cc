// Runs on W8A8 folders: evaluated and generated from in integers, seen as floats by everything else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "foundation/base/error.h"
#include "foundation/codecs/codec.h"
#include "foundation/kernels/gemm.h"
#include "model/source/open_model.h"
#include "pipeline/convert.h"
#include "pipeline/evaluate.h"
#include "pipeline/generate.h"
#include "pipeline/quantize.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

const std::filesystem::path kW8a8 = TESSERA_TESTDATA "/w8a8/llama-bias";
const std::filesystem::path kOriginal = TESSERA_TESTDATA "/forward/llama-bias";

class W8a8Run : public ::testing::Test {
 protected:
  W8a8Run() {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "the sea was never still " + std::to_string(i * 37 % 101) + " ";
    testing::write_whole(folder / "text.txt", text);
  }

  Evaluation evaluate_against(const std::filesystem::path& quantized, int threads = 2) {
    EvaluateSettings settings{.model = kOriginal};
    settings.quantized = quantized;
    settings.corpus.files = {{folder / "text.txt"}};
    settings.corpus.context = 64;
    settings.corpus.samples = 3;
    settings.precision = kernels::Precision::f32;
    settings.threads = threads;
    return evaluate(settings, silent, never);
  }

  /// All weights of a matrix as float32.
  static std::vector<float> weights_of(const std::filesystem::path& path, const std::string& tensor) {
    const auto opened = model::open_model(path);
    const auto found = opened.weights->find(tensor).value();
    const auto& descriptor = opened.weights->tensors()[found];
    std::vector<std::byte> scratch;
    const auto rows = opened.weights->stored_rows(found, {0, descriptor.rows()}, scratch);
    std::vector<float> weights(descriptor.weights());
    codecs::codec_for(descriptor.type).decode(rows, weights);
    return weights;
  }

  testing::ScratchFolder folder;
  SilentProgress silent;
  StopFlag never;
};

TEST_F(W8a8Run, EvaluationIsOfIntegerArithmeticAndNamesWhatIsStored) {
  const auto integers = evaluate_against(kW8a8);
  convert({.model = kW8a8, .output = folder / "floats.gguf", .type = ElementType::F32}, silent, never);
  const auto floats = evaluate_against(folder / "floats.gguf");
  EXPECT_GT(floats.change->kl_divergence.value, 0);
  // Rounding the activations, too, costs something; weights are the same on both.
  EXPECT_NE(integers.quantized->perplexity.value, floats.quantized->perplexity.value);
  EXPECT_LT(integers.change->kl_divergence.value, 0.05);
  ASSERT_EQ(integers.layers.size(), floats.layers.size());
  for (std::size_t i = 0; i < integers.layers.size(); ++i) {
    for (std::size_t j = 0; j < integers.layers[i].tensors.size(); ++j) {
      EXPECT_EQ(integers.layers[i].tensors[j].quantized_type, ElementType::I8);
      EXPECT_GT(integers.layers[i].tensors[j].error.relative(), 0);
      EXPECT_LT(integers.layers[i].tensors[j].error.relative(), 1e-3);
    }
  }
}

TEST_F(W8a8Run, ScalesCountAsBytesAndNotAsWeights) {
  const auto evaluation = evaluate_against(kW8a8);
  EXPECT_EQ(evaluation.quantized->size.weights, evaluation.original.size.weights);
  EXPECT_LT(evaluation.quantized->size.tensor_bytes, evaluation.original.size.tensor_bytes);
}

TEST_F(W8a8Run, EvaluationDoesNotDependOnThreads) {
  const auto one = evaluate_against(kW8a8, 1);
  const auto three = evaluate_against(kW8a8, 3);
  EXPECT_EQ(one.change->kl_divergence.value, three.change->kl_divergence.value);
}

TEST_F(W8a8Run, ConversionDecodesWeightsNearTheOriginals) {
  convert({.model = kW8a8, .output = folder / "out.gguf"}, silent, never);
  for (const std::string name : {"blk.0.attn_q.weight", "blk.1.ffn_down.weight"}) {
    const auto expected = weights_of(kOriginal, name);
    const auto actual = weights_of(folder / "out.gguf", name);
    ASSERT_EQ(actual.size(), expected.size());
    const float largest = std::ranges::max(expected);
    for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], largest / 60) << name;
  }
}

TEST_F(W8a8Run, QuantizationTakesTheDecodedWeights) {
  QuantizeSettings settings{.model = kW8a8, .output = folder / "out.gguf", .type = "Q8_0"};
  quantize(settings, silent, never);
  const auto opened = model::open_model(folder / "out.gguf");
  EXPECT_FALSE(opened.weights->find("blk.0.attn_q.weight_scale"));
  EXPECT_TRUE(opened.weights->find("blk.0.attn_q.weight"));
}

TEST_F(W8a8Run, GenerationWritesFromIntegers) {
  GenerateSettings settings;
  settings.model = kW8a8;
  settings.prompt = "the sea";
  settings.new_tokens = 8;
  settings.threads = 2;
  const auto report = generate(settings, {}, silent, never);
  EXPECT_FALSE(report.generation.tokens.empty());
  EXPECT_EQ(report.generation.tokens, generate(settings, {}, silent, never).generation.tokens);
}

}  // namespace
}  // namespace tessera::pipeline
