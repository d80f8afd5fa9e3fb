// W8A8 models made by compressed-tensors, with static scales, against the logits that transformers computes
// from the same codes (tools/reference_w8a8.py golden); and what does not take them.
#include <gtest/gtest.h>

#include <algorithm>

#include "forward/golden_model.h"
#include "foundation/base/error.h"
#include "model/forward/backward_pass.h"
#include "model/forward/generator.h"
#include "model/forward/paired_pass.h"

namespace tessera {
namespace {

using testing::GoldenModel;
using testing::logits_of;
using testing::relative_error;

const std::string kFolder = TESSERA_TESTDATA "/w8a8/";

GoldenModel open(const std::string& name, model::Int8Linears linears) {
  return {kFolder + name, kFolder + name, {.int8_linears = linears}};
}

class Int8Forward : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenModel kept = open(GetParam(), model::Int8Linears::kept);
};

TEST_P(Int8Forward, LogitsAreThoseOfTransformersAndNotThoseOfFloatActivations) {
  const auto expected = kept.golden.floats("logits");
  const auto integers = logits_of(kept, {.precision = kernels::Precision::f32, .threads = 2});
  EXPECT_LT(relative_error(expected, integers), 1e-3);
  const auto decoded = open(GetParam(), model::Int8Linears::decoded);
  const auto floats = logits_of(decoded, {.precision = kernels::Precision::f32, .threads = 2});
  EXPECT_GT(relative_error(expected, floats), 3 * relative_error(expected, integers));
  EXPECT_LT(relative_error(expected, floats), 0.1);
}

TEST_P(Int8Forward, LogitsAreTheSameBitsForAnyNumberOfThreads) {
  for (const auto precision : kernels::available_precisions()) {
    const auto one = logits_of(kept, {.precision = precision, .threads = 1});
    EXPECT_EQ(logits_of(kept, {.precision = precision, .threads = 3}), one);
  }
}

TEST_P(Int8Forward, GreedyTokensAreTheSameAloneAmongOthersAndDecodedAgain) {
  const auto window = kept.batch().window(0);
  const model::GenerationRequest request{{window.begin(), window.begin() + 11}, 16, {}};
  const std::vector<model::GenerationRequest> three = {
      request, {{window.begin(), window.begin() + 5}, 16, {}}, request};
  SilentProgress progress;
  const StopFlag never;
  const auto generate = [&](std::span<const model::GenerationRequest> requests, int threads,
                            std::uint64_t memory_bytes) {
    model::ResidentDecoder decoder(*kept.model.weights, kept.config, model::positions_of(requests),
                                   {.threads = threads, .memory_bytes = memory_bytes}, progress, never);
    return model::generate(decoder, requests, {}, never).front().tokens;
  };
  constexpr std::uint64_t kPlenty = 1 << 30;
  const auto alone = generate(std::span(three).first(1), 1, kPlenty);
  EXPECT_EQ(alone.size(), 16u);
  EXPECT_EQ(generate(three, 3, kPlenty), alone);
  EXPECT_EQ(generate(three, 2, 0), alone);
}

TEST_P(Int8Forward, WalksThatNeedFloatsRefuseAndSayWhichTensor) {
  const model::ForwardSettings settings{.threads = 1};
  model::ForwardPass forward(*kept.model.weights, kept.config, kept.batch(), settings);
  EXPECT_THROW(model::BackwardPass{forward}, BadFileError);
  EXPECT_THROW(model::PairedPass(*kept.model.weights, kept.config, kept.batch(), {}), BadFileError);
}

INSTANTIATE_TEST_SUITE_P(Golden, Int8Forward, ::testing::Values("llama-bias", "qwen3"),
                         testing::name_of_golden);

}  // namespace
}  // namespace tessera
