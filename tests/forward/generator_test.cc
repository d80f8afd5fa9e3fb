// Generation against full forward passes without a cache, and against itself: alone and among others, with
// other thread counts and budgets.
#include "model/forward/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "forward/golden_model.h"
#include "foundation/base/error.h"
#include "model/forward/output_head.h"

namespace tessera {
namespace {

using model::Generation;
using model::GenerationRequest;
using testing::GoldenModel;
using Tokens = std::vector<std::int32_t>;

constexpr std::size_t kNewTokens = 24;

std::vector<Generation> generate(const GoldenModel& golden, const std::vector<GenerationRequest>& requests,
                                 const model::DecoderSettings& settings, const Tokens& end_tokens = {}) {
  SilentProgress progress;
  const StopFlag never;
  model::ResidentDecoder decoder(*golden.model.weights, golden.config, model::positions_of(requests),
                                 settings, progress, never);
  return model::generate(decoder, requests, end_tokens, never);
}

/// Logits behind every token, by a pass over the whole text: [tokens, vocabulary].
std::vector<std::vector<float>> full_pass(const GoldenModel& golden, const Tokens& tokens) {
  model::ForwardPass pass(*golden.model.weights, golden.config, {tokens, tokens.size()}, {.threads = 1});
  const StopFlag never;
  pass.embed();
  for (std::uint32_t layer = 0; layer < golden.config.layers; ++layer) {
    pass.run_layer(pass.loader().layer(layer), layer, nullptr, never);
  }
  const auto weights = pass.loader().output();
  model::OutputHead head(golden.config, weights, kernels::Precision::f32);
  std::vector<std::vector<float>> result;
  for (std::size_t position = 0; position < tokens.size(); ++position) {
    const auto logits = head.logits(pass.states(), 0, position, 1);
    result.emplace_back(logits.begin(), logits.end());
  }
  return result;
}

/// The first `length` tokens of a golden window.
Tokens prompt_of(const GoldenModel& golden, std::size_t window, std::size_t length) {
  const auto tokens = golden.batch().window(window % golden.batch().windows());
  return {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(std::min(length, tokens.size()))};
}

/// Prompts of different lengths, greedy and sampled.
std::vector<GenerationRequest> mixed_requests(const GoldenModel& golden) {
  std::vector<GenerationRequest> requests;
  for (const std::size_t length : {1u, 7u, 20u, 33u}) {
    const auto seed = static_cast<std::uint64_t>(length);
    requests.push_back({prompt_of(golden, length, length), kNewTokens - length / 4, {}});
    requests.push_back({prompt_of(golden, length, length),
                        kNewTokens,
                        {.temperature = 1.0, .top_k = 0, .top_p = 0.99, .seed = seed}});
  }
  return requests;
}

class GeneratorTest : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenModel golden{GetParam()};
};

TEST_P(GeneratorTest, GreedyTokensAreTheArgmaxOfFullPassesWithoutACache) {
  const Tokens prompt = prompt_of(golden, 0, 11);
  const auto generation = generate(golden, {{prompt, kNewTokens, {}}}, {.threads = 2}).front();
  ASSERT_EQ(generation.tokens.size(), kNewTokens);
  // A pass over the whole text gives what a pass over each of its beginnings would: attention is causal.
  Tokens text = prompt;
  text.insert(text.end(), generation.tokens.begin(), generation.tokens.end());
  const auto logits = full_pass(golden, text);
  for (std::size_t position = prompt.size(); position < text.size(); ++position) {
    const auto& row = logits[position - 1];
    EXPECT_EQ(text[position], std::ranges::max_element(row) - row.begin()) << "at position " << position;
  }
}

TEST_P(GeneratorTest, ASequenceIsTheSameAloneAndAmongOthersForAnyNumberOfThreads) {
  const auto requests = mixed_requests(golden);
  for (const auto precision : {kernels::Precision::f32, kernels::fastest_precision()}) {
    const auto together = generate(golden, requests, {.precision = precision, .threads = 3});
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto alone = generate(golden, {requests[i]}, {.precision = precision, .threads = 1}).front();
      EXPECT_EQ(alone.tokens, together[i].tokens) << i;
    }
  }
}

TEST_P(GeneratorTest, LayersBeyondTheBudgetGiveTheSameText) {
  const auto requests = mixed_requests(golden);
  const auto resident = generate(golden, requests, {.threads = 2});
  const auto decoded_again = generate(golden, requests, {.threads = 2, .memory_bytes = 0});
  for (std::size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(decoded_again[i].tokens, resident[i].tokens);
}

TEST_P(GeneratorTest, ALongerTextBeginsWithTheShorterOne) {
  auto request = mixed_requests(golden)[1];
  const auto longer = generate(golden, {request}, {}).front().tokens;
  request.new_tokens = 5;
  EXPECT_EQ(generate(golden, {request}, {}).front().tokens, Tokens(longer.begin(), longer.begin() + 5));
}

TEST_P(GeneratorTest, ScoresAreTheLogProbabilitiesOfAFullPass) {
  const Tokens tokens = prompt_of(golden, 1, 40);
  const auto logits = full_pass(golden, tokens);
  SilentProgress progress;
  const StopFlag never;
  model::ResidentDecoder decoder(*golden.model.weights, golden.config, tokens.size(), {.threads = 2},
                                 progress, never);
  const auto scores =
      model::log_probabilities(decoder, std::vector<model::ScoredText>{{tokens, 1}, {tokens, 30}}, never);
  ASSERT_EQ(scores[0].size(), tokens.size() - 1);
  ASSERT_EQ(scores[1].size(), tokens.size() - 30);
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    double sum = 0;
    for (const float logit : logits[i - 1]) sum += std::exp(double{logit});
    const double expected = double{logits[i - 1][static_cast<std::size_t>(tokens[i])]} - std::log(sum);
    EXPECT_NEAR(scores[0][i - 1], expected, 1e-3);
    if (i >= 30) {
      EXPECT_EQ(scores[1][i - 30], scores[0][i - 1]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, GeneratorTest, ::testing::ValuesIn(testing::golden_models()),
                         testing::name_of_golden);

class GeneratorLimits : public ::testing::Test {
 protected:
  GoldenModel golden{"qwen2-window"};
};

TEST_F(GeneratorLimits, ALongPromptAndManySequencesPassInBlocks) {
  Tokens prompt;
  for (std::size_t i = 0; i < 300; ++i) prompt.push_back(golden.tokens[i % golden.tokens.size()]);
  const std::vector<GenerationRequest> requests(9, {prompt, 3, {}});
  const auto generations = generate(golden, requests, {.threads = 2});
  const auto logits = full_pass(golden, prompt).back();
  for (const auto& generation : generations) {
    ASSERT_EQ(generation.tokens.size(), 3u);
    EXPECT_EQ(generation.tokens[0], std::ranges::max_element(logits) - logits.begin());
    EXPECT_EQ(generation.tokens, generations[0].tokens);
  }
}

TEST_F(GeneratorLimits, NoNewTokensAskForNoWork) {
  const auto generation = generate(golden, {{prompt_of(golden, 0, 5), 0, {}}}, {}).front();
  EXPECT_TRUE(generation.tokens.empty());
  EXPECT_EQ(generation.stopped, model::StopReason::length);
}

TEST_F(GeneratorLimits, AnEndTokenEndsItsSequenceAlone) {
  const std::vector<GenerationRequest> requests = {{prompt_of(golden, 0, 5), 12, {}},
                                                   {prompt_of(golden, 1, 9), 12, {}}};
  const auto whole = generate(golden, requests, {});
  const std::int32_t end = whole[0].tokens[4];
  const auto first = std::ranges::find(whole[0].tokens, end);
  const auto generations = generate(golden, requests, {}, {end});
  EXPECT_EQ(generations[0].tokens, Tokens(whole[0].tokens.begin(), first));
  EXPECT_EQ(generations[0].stopped, model::StopReason::end_token);
  EXPECT_EQ(generations[0].end_token, end);
  if (std::ranges::find(whole[1].tokens, end) == whole[1].tokens.end()) {
    EXPECT_EQ(generations[1].tokens, whole[1].tokens);
  }
}

TEST_F(GeneratorLimits, TheFirstLayersThatFitStayInMemory) {
  SilentProgress progress;
  const StopFlag never;
  const auto resident = [&](std::uint64_t bytes) {
    return model::ResidentDecoder(*golden.model.weights, golden.config, 8, {.memory_bytes = bytes}, progress,
                                  never)
        .resident_layers();
  };
  ASSERT_GE(golden.config.layers, 2u);
  EXPECT_EQ(resident(std::uint64_t{1} << 30), golden.config.layers);
  EXPECT_EQ(resident(0), 0u);
  std::uint32_t least = golden.config.layers;
  for (std::uint64_t bytes = 1 << 20; bytes > 0; bytes /= 2) {
    EXPECT_LE(resident(bytes), least);
    least = resident(bytes);
  }
}

TEST_F(GeneratorLimits, AnEmptyPromptIsRefused) {
  EXPECT_THROW(generate(golden, {{{}, 4, {}}}, {}), UsageError);
}

TEST_F(GeneratorLimits, ATokenBeyondTheVocabularyIsRefused) {
  for (const std::int32_t token : {-1, static_cast<std::int32_t>(golden.config.vocabulary)}) {
    EXPECT_THROW(generate(golden, {{{1, token}, 4, {}}}, {}), BadFileError);
  }
}

TEST_F(GeneratorLimits, AStopRequestInterrupts) {
  SilentProgress progress;
  StopFlag stop;
  model::ResidentDecoder decoder(*golden.model.weights, golden.config, 20, {}, progress, stop);
  const std::vector<GenerationRequest> requests = {{prompt_of(golden, 0, 5), 12, {}}};
  std::size_t tokens = 0;
  const auto count = [&](std::size_t, std::int32_t) {
    if (++tokens == 3) stop.request();
  };
  EXPECT_THROW(model::generate(decoder, requests, {}, stop, count), InterruptedError);
  EXPECT_EQ(tokens, 3u);
}

}  // namespace
}  // namespace tessera
