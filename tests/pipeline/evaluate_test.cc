// Evaluation of the demo model, alone and beside what quantization made of it.
#include "pipeline/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/message_recorder.h"
#include "foundation/base/error.h"
#include "foundation/kernels/gemm.h"
#include "pipeline/quantize.h"
#include "pipeline/small_model.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::filesystem::path kDemo = TESSERA_TESTDATA "/demo-model";

class EvaluationOfTheDemoModel : public ::testing::Test {
 protected:
  EvaluationOfTheDemoModel() {
    std::string text;
    for (int i = 0; i < 150; ++i) {
      text += "The old captain had " + std::to_string(i * 37 % 101) + " ships, and the sea was never still. ";
    }
    testing::write_whole(folder / "text.txt", text);
  }

  pipeline::EvaluateSettings settings() const {
    pipeline::EvaluateSettings settings{.model = kDemo};
    settings.corpus.files = {{folder / "text.txt"}};
    settings.corpus.context = 64;
    settings.corpus.samples = 6;
    settings.precision = kernels::Precision::f32;
    settings.threads = 2;
    return settings;
  }

  std::filesystem::path quantized(const std::string& type) {
    SilentProgress silent;
    pipeline::QuantizeSettings job{.model = kDemo, .output = folder / (type + ".gguf"), .type = type};
    pipeline::quantize(job, silent, never);
    return job.output;
  }

  /// The demo model as a GGUF file, with changes.
  std::filesystem::path copy(
      const std::function<void(gguf::Metadata&)>& change_metadata,
      const std::function<void(const std::string&, std::vector<std::byte>&)>& change_tensor = {}) {
    auto opened = model::open_model(kDemo);
    change_metadata(opened.metadata);
    std::vector<TensorDescriptor> tensors(opened.weights->tensors().begin(), opened.weights->tensors().end());
    const auto sink = gguf::create_gguf(folder / "copy.gguf", opened.metadata, tensors);
    std::vector<std::byte> scratch;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const auto rows = opened.weights->stored_rows(i, {0, tensors[i].rows()}, scratch);
      std::vector<std::byte> bytes(rows.begin(), rows.end());
      if (change_tensor) change_tensor(tensors[i].name, bytes);
      sink->write_rows(i, 0, bytes);
    }
    sink->commit();
    return folder / "copy.gguf";
  }

  Evaluation run(const pipeline::EvaluateSettings& job) {
    SilentProgress silent;
    return pipeline::evaluate(job, silent, never);
  }

  testing::ScratchFolder folder;
  StopFlag never;
};

TEST_F(EvaluationOfTheDemoModel, ScoresTheSecondHalfOfEachWindow) {
  const auto evaluation = run(settings());
  EXPECT_EQ(evaluation.windows, 6u);
  EXPECT_EQ(evaluation.scored_tokens, 6u * 31u);
  EXPECT_GT(evaluation.original.perplexity.value, 1);
  EXPECT_LT(evaluation.original.perplexity.value, 4096);  // what guessing among the vocabulary gives
  EXPECT_FALSE(evaluation.change.has_value());
  EXPECT_TRUE(evaluation.layers.empty());
}

TEST_F(EvaluationOfTheDemoModel, FindsNoDifferenceBetweenAModelAndItself) {
  auto job = settings();
  job.quantized = kDemo;
  const auto evaluation = run(job);
  EXPECT_EQ(evaluation.change->kl_quantiles.maximum, 0);
  EXPECT_EQ(evaluation.change->top_1_agreement_pct.value, 100);
  EXPECT_EQ(evaluation.change->perplexity_delta_pct, 0);
  ASSERT_EQ(evaluation.layers.size(), 4u);
  for (const auto& layer : evaluation.layers) EXPECT_EQ(layer.output.error, 0);
}

TEST_F(EvaluationOfTheDemoModel, ComparesTextsWhenAsked) {
  auto job = settings();
  job.coherence = pipeline::CoherenceSettings{.prompts = {"The old captain"}, .new_tokens = 8, .threads = 1};
  EXPECT_THROW(run(job), UsageError);  // with whose?
  job.quantized = kDemo;
  const auto evaluation = run(job);
  ASSERT_EQ(evaluation.coherence->pairs.size(), 2u);
  EXPECT_EQ(judge(*evaluation.coherence).verdict, CoherenceVerdict::coherent);
}

TEST_F(EvaluationOfTheDemoModel, FindsLessDifferenceWithMoreBits) {
  auto job = settings();
  job.quantized = quantized("Q2_K");
  const auto coarse = run(job);
  job.quantized = quantized("Q8_0");
  const auto fine = run(job);
  EXPECT_GT(coarse.change->kl_divergence.value, 20 * fine.change->kl_divergence.value);
  EXPECT_GT(fine.change->kl_divergence.value, 0);
  EXPECT_LT(coarse.quantized->size.bits_per_weight(), fine.quantized->size.bits_per_weight());
  for (std::size_t layer = 0; layer < coarse.layers.size(); ++layer) {
    EXPECT_GT(coarse.layers[layer].output.error, fine.layers[layer].output.error);
    ASSERT_EQ(coarse.layers[layer].tensors.size(), 7u);
    for (const auto& tensor : coarse.layers[layer].tensors) {
      EXPECT_GT(tensor.error.relative(), 0) << tensor.name;
      EXPECT_GT(tensor.error.weighted_relative().value(), 0) << tensor.name;
    }
  }
  EXPECT_EQ(coarse.other_tensors.size(), 2u);
}

TEST_F(EvaluationOfTheDemoModel, DoesNotDependOnThreadsNorOnAScratchFile) {
  auto job = settings();
  job.quantized = quantized("Q4_0");
  for (const auto precision : kernels::available_precisions()) {
    job.precision = precision;
    job.threads = 1;
    const auto alone = to_json(run(job));
    job.threads = 3;
    job.memory_bytes = 0;
    EXPECT_EQ(to_json(run(job)), alone);
    job.memory_bytes = std::uint64_t{1} << 30;
  }
}

TEST_F(EvaluationOfTheDemoModel, WarnsWhereRoundingIsMuchOfTheDivergence) {
  if (kernels::available_precisions().back() != kernels::Precision::bf16) {
    GTEST_SKIP() << "this machine has no bf16 products";
  }
  auto job = settings();
  job.quantized = quantized("Q8_0");
  const auto warnings = [&](kernels::Precision precision) {
    testing::MessageRecorder messages;
    job.precision = precision;
    pipeline::evaluate(job, messages, never);
    return messages.warnings;
  };
  EXPECT_THAT(warnings(kernels::Precision::f32), ::testing::IsEmpty());
  EXPECT_THAT(warnings(kernels::Precision::bf16), ::testing::ElementsAre(HasSubstr("--precision f32")));
}

TEST_F(EvaluationOfTheDemoModel, RefusesAModelWithAnotherVocabulary) {
  auto job = settings();
  job.quantized = TESSERA_TESTDATA "/forward/llama-tied";
  EXPECT_THAT([&] { run(job); },
              ThrowsMessage<BadFileError>(HasSubstr("is not its original: it has 4 layers")));
}

TEST_F(EvaluationOfTheDemoModel, RefusesAModelWhoseTokensDiffer) {
  const auto refusal_of = [&](const std::function<void(std::vector<std::string>&)>& change) {
    auto job = settings();
    job.quantized = copy([&](gguf::Metadata& metadata) {
      auto tokens = *metadata.texts("tokenizer.ggml.tokens");
      change(tokens);
      metadata.set("tokenizer.ggml.tokens", gguf::Array(tokens));
    });
    try {
      run(job);
    } catch (const BadFileError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refusal_of([](auto& tokens) { tokens[700] += "x"; }), HasSubstr("token 700 differs"));
  EXPECT_THAT(refusal_of([](auto& tokens) { tokens.pop_back(); }), HasSubstr("4095"));
}

TEST_F(EvaluationOfTheDemoModel, NamesTheTensorThatHoldsANaN) {
  auto job = settings();
  job.quantized = copy([](gguf::Metadata&) {},
                       [](const std::string& name, std::vector<std::byte>& bytes) {
                         if (name == "blk.2.ffn_up.weight")
                           bytes[1] = bytes[0] = std::byte{0x7F};  // NaN in F16
                       });
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<BadFileError>(::testing::AllOf(
                                     HasSubstr("blk.2.ffn_up.weight"), HasSubstr("row 0, column 0"))));
}

TEST_F(EvaluationOfTheDemoModel, RefusesAContextInWhichNothingIsScored) {
  auto job = settings();
  job.corpus.context = 2;
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<UsageError>(HasSubstr("--ctx")));
}

TEST_F(EvaluationOfTheDemoModel, StopsWhenAskedTo) {
  never.request();
  EXPECT_THROW(run(settings()), InterruptedError);
}

}  // namespace
}  // namespace tessera
