// The pass of two streams against the forward pass, bit for bit.
#include "model/forward/paired_pass.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "forward/paired_walk.h"
#include "foundation/base/error.h"
#include "foundation/kernels/gemm.h"

namespace tessera {
namespace {

using testing::forward_walk;
using testing::kAllLinears;
using testing::kAllOfMixtures;
using testing::kContext;
using testing::kWindows;
using testing::LongModel;
using testing::paired_walk;
using testing::replace;
using testing::replaced_forward_walk;
using testing::Walk;

class PairedPass : public ::testing::TestWithParam<std::string> {
 protected:
  LongModel model{GetParam()};
};

TEST_P(PairedPass, WithNothingReplacedBothStreamsHaveTheBitsOfTheForwardPass) {
  for (const auto precision : kernels::available_precisions()) {
    const Walk expected = forward_walk(model, *model.model.weights, precision);
    const auto walk = paired_walk(model, {}, {.forward = {.precision = precision, .threads = 2}});
    const std::size_t dense = model.config.feed_forward > 0 ? 7 : 4;
    EXPECT_EQ(walk.reference.inputs.size(), dense * model.config.layers + 1);
    EXPECT_EQ(walk.reference.expert_inputs.empty(), !model.config.mixture);
    EXPECT_TRUE(walk.reference == expected);
    EXPECT_TRUE(walk.replaced == expected);
  }
}

TEST_P(PairedPass, TheReplacedStreamIsTheForwardPassOfTheReplacedModel) {
  for (const auto precision : kernels::available_precisions()) {
    const auto replacements = replace(model, model.config.mixture ? kAllOfMixtures : kAllLinears);
    const auto walk = paired_walk(model, replacements, {.forward = {.precision = precision, .threads = 2}});
    const auto expected = forward_walk(model, *model.model.weights, precision);
    EXPECT_TRUE(walk.reference.inputs == expected.inputs);
    EXPECT_TRUE(walk.reference.states == expected.states);
    EXPECT_TRUE(walk.replaced == replaced_forward_walk(model, replacements, precision));
    EXPECT_FALSE(walk.replaced == walk.reference);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, PairedPass, ::testing::ValuesIn(testing::golden_models()),
                         testing::name_of_golden);

TEST(PairedPassReplacing, OneLinearOfAGroupLeavesTheOthersAsTheyAre) {
  const LongModel model("qwen3");
  const auto precision = kernels::Precision::f32;
  for (const auto& linear : kAllLinears) {
    const auto replacements = replace(model, {linear});
    const auto walk = paired_walk(model, replacements, {.forward = {.precision = precision, .threads = 2}});
    EXPECT_TRUE(walk.replaced == replaced_forward_walk(model, replacements, precision)) << linear;
    EXPECT_FALSE(walk.replaced == walk.reference) << linear;
  }
}

TEST(PairedPassSettings, ThreadsBatchesAndScratchFilesChangeNoBit) {
  const LongModel model("qwen2-window");
  for (const auto precision : kernels::available_precisions()) {
    const auto replacements = replace(model, {"attn_k", "attn_output", "ffn_up", "ffn_down"});
    const auto run = [&](int threads, std::uint64_t memory_bytes, std::size_t batch_tokens) {
      return paired_walk(
          model, replacements,
          {.forward = {.precision = precision, .threads = threads, .memory_bytes = memory_bytes},
           .batch_tokens = batch_tokens});
    };
    const auto expected = run(1, std::uint64_t{1} << 30, 2048);
    const std::size_t stream = kWindows * kContext * model.config.embedding * 4;
    for (const auto& walk : {run(3, std::uint64_t{1} << 30, 2048), run(3, 0, 2 * kContext),
                             run(2, 3 * stream, 1), run(2, 5 * stream, 3 * kContext)}) {
      EXPECT_TRUE(walk.reference == expected.reference);
      EXPECT_TRUE(walk.replaced == expected.replaced);
    }
  }
}

/// What of `values`, dense windows, batches 0, 2, 4 and so on of `windows_at_once` windows have.
template <class Values>
Values of_every_other_batch(const Values& values, std::size_t windows_at_once) {
  const std::size_t size = values.size() / kWindows;
  Values result;
  for (std::size_t window = 0; window < kWindows; ++window) {
    if (window / windows_at_once % 2 != 0) continue;
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(window * size);
    result.insert(result.end(), first, first + static_cast<std::ptrdiff_t>(size));
  }
  return result;
}

TEST(PairedPassSettings, AReferenceOfEveryOtherBatchHasTheBitsOfThoseBatchesAlone) {
  const LongModel model("llama-tied");
  for (const auto precision : kernels::available_precisions()) {
    const auto replacements = replace(model, {"attn_v", "ffn_gate"});
    for (const std::size_t windows : {1, 2, 3}) {
      const auto run = [&](std::size_t reference_every) {
        return paired_walk(model, replacements,
                           {.forward = {.precision = precision, .threads = 2},
                            .reference_every = reference_every,
                            .batch_tokens = windows * kContext});
      };
      const auto all = run(1), some = run(2);
      EXPECT_TRUE(some.replaced == all.replaced);
      for (const auto& [tensor, rows] : all.reference.inputs)
        EXPECT_EQ(some.reference.inputs.at(tensor), of_every_other_batch(rows, windows));
      ASSERT_EQ(some.reference.states.size(), all.reference.states.size());
      for (std::size_t i = 0; i < all.reference.states.size(); ++i)
        EXPECT_EQ(some.reference.states[i], of_every_other_batch(all.reference.states[i], windows));
    }
  }
}

TEST(PairedPassSettings, WhatTheMemoryDoesNotHoldGoesToTheScratchFolder) {
  const LongModel model("llama-tied");
  const auto settings = [&](std::uint64_t memory_bytes) {
    return model::PairedSettings{
        .forward = {.threads = 2, .memory_bytes = memory_bytes, .scratch_folder = "/no/such/folder"}};
  };
  const WeightSource& source = *model.model.weights;
  const std::uint64_t token = 4 * (2 * model.config.embedding + model.config.feed_forward);
  const std::uint64_t all = 2 * kWindows * kContext * token;
  ASSERT_GT(model.config.feed_forward, model.config.query_width());
  for (const std::uint64_t memory : {std::uint64_t{0}, all / 2, all - 2})
    EXPECT_THROW(model::PairedPass(source, model.config, model.batch(), settings(memory)), IoError) << memory;
  EXPECT_NO_THROW(model::PairedPass(source, model.config, model.batch(), settings(all)));
}

TEST(PairedPassSettings, NotSequentialThereIsTheReferenceAlone) {
  const LongModel model("llama-bias");
  const auto precision = kernels::Precision::f32;
  const Walk expected = forward_walk(model, *model.model.weights, precision);
  const auto walk = paired_walk(model, replace(model, kAllLinears),
                                {.forward = {.precision = precision, .threads = 2}, .sequential = false});
  EXPECT_TRUE(walk.reference == expected);
  EXPECT_TRUE(walk.replaced == expected);

  model::PairedPass pass(*model.model.weights, model.config, model.batch(), {.sequential = false});
  EXPECT_EQ(&pass.reference(), &pass.replaced());
  pass.embed();
  pass.begin_layer(0);
  const StopFlag never;
  pass.show(
      model::LayerInput::attention,
      [](const model::PairedRows& rows) { EXPECT_EQ(rows.reference, &rows.replaced); }, never);
}

TEST(PairedPassShowing, AnEmptySinkTakesTheStreamsThereAsWell) {
  const LongModel model("llama-tied");
  const auto precision = kernels::Precision::f32;
  const auto expected = forward_walk(model, *model.model.weights, precision).states;
  model::PairedPass pass(*model.model.weights, model.config, model.batch(),
                         {.forward = {.precision = precision, .threads = 2}});
  const StopFlag never;
  pass.embed();
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer) {
    pass.begin_layer(layer);
    for (const auto input : model::kLayerInputs) pass.show(input, {}, never);
    pass.end_layer(never);
    EXPECT_TRUE(std::ranges::equal(pass.replaced().bytes(), expected[layer + 1]));
  }
}

TEST(PairedPassShowing, BatchesAreWholeWindowsInOrderAndReported) {
  const LongModel model("llama-tied");
  model::PairedPass pass(*model.model.weights, model.config, model.batch(),
                         {.forward = {.threads = 2}, .batch_tokens = 2 * kContext + 1});
  const StopFlag never;
  pass.embed();
  pass.begin_layer(0);
  std::vector<std::size_t> tokens, done;
  pass.show(
      model::LayerInput::attention, [&](const model::PairedRows& rows) { tokens.push_back(rows.tokens); },
      never,
      [&](std::size_t windows, std::size_t total) {
        done.push_back(windows);
        EXPECT_EQ(total, kWindows);
      });
  EXPECT_EQ(tokens, (std::vector<std::size_t>{2 * kContext, 2 * kContext, kContext}));
  EXPECT_EQ(done, (std::vector<std::size_t>{2, 4, 5}));
}

TEST(PairedPassShowing, StopsBetweenPartsAndALayerMayBeBegunAgain) {
  const LongModel model("llama-tied");
  const auto precision = kernels::Precision::f32;
  model::PairedPass pass(*model.model.weights, model.config, model.batch(),
                         {.forward = {.precision = precision, .threads = 2}, .batch_tokens = kContext});
  pass.embed();
  pass.begin_layer(0);
  StopFlag stop;
  pass.show(model::LayerInput::attention, {}, stop);
  EXPECT_THROW(
      pass.show(
          model::LayerInput::attention_output, [&](const model::PairedRows&) { stop.request(); }, stop),
      InterruptedError);
  const StopFlag never;
  pass.begin_layer(0);
  for (const auto input : model::kLayerInputs) pass.show(input, {}, never);
  pass.end_layer(never);
  const auto expected = forward_walk(model, *model.model.weights, precision).states;
  EXPECT_TRUE(std::ranges::equal(pass.reference().bytes(), expected[1]));
}

TEST(PairedPassTokens, BeyondTheVocabularyAreRefused) {
  LongModel model("llama-tied");
  model.tokens[3] = static_cast<std::int32_t>(model.config.vocabulary);
  EXPECT_THROW(model::PairedPass(*model.model.weights, model.config, model.batch(), {}), BadFileError);
}

}  // namespace
}  // namespace tessera
