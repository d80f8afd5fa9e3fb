// What the paired pass shows of experts, against a naive computation of routing and activations.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "forward/paired_walk.h"
#include "foundation/codecs/codec.h"

namespace tessera {
namespace {

using testing::kAllOfMixtures;
using testing::kContext;
using testing::kWindows;
using testing::LongModel;
using testing::paired_walk;
using testing::replace;

constexpr std::size_t kTokens = kWindows * kContext;

/// What routers read, by tensor: [kTokens, e].
using RouterInputs = std::map<std::size_t, std::vector<float>>;

class RouterRecorder : public model::ForwardObserver {
 public:
  explicit RouterRecorder(const WeightSource& source) : source_(source) {}

  void linear_input(const model::LinearInput& input) override {
    for (const std::size_t tensor : input.tensors) {
      if (!source_.tensors()[tensor].name.ends_with("ffn_gate_inp.weight")) continue;
      auto& rows = inputs[tensor];
      rows.resize(rows.size() + input.tokens * input.rows.columns());
      input.rows.load(input.first_row, std::span(rows).last(input.tokens * input.rows.columns()));
    }
  }

  RouterInputs inputs;

 private:
  const WeightSource& source_;
};

RouterInputs router_inputs(const LongModel& model, const WeightSource& source) {
  model::ForwardPass pass(source, model.config, model.batch(), {.threads = 1});
  RouterRecorder recorder(source);
  pass.embed();
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer)
    pass.run_layer(pass.loader().layer(layer), layer, &recorder, StopFlag());
  return recorder.inputs;
}

std::vector<float> weights_of(const WeightSource& source, std::size_t tensor) {
  const auto& descriptor = source.tensors()[tensor];
  std::vector<std::byte> scratch;
  std::vector<float> weights(descriptor.weights());
  codecs::codec_for(descriptor.type)
      .decode(source.stored_rows(tensor, {0, descriptor.rows()}, scratch), weights);
  return weights;
}

/// Rows of a matrix times a vector.
std::vector<double> product(std::span<const float> matrix, std::span<const float> x) {
  std::vector<double> y(matrix.size() / x.size());
  for (std::size_t row = 0; row < y.size(); ++row) {
    for (std::size_t c = 0; c < x.size(); ++c) y[row] += double{matrix[row * x.size() + c]} * x[c];
  }
  return y;
}

/// By expert, the tokens among whose largest scores its own is.
std::vector<std::vector<std::size_t>> tokens_by_expert(const LongModel& model, std::size_t router,
                                                       const std::vector<float>& inputs) {
  const auto weights = weights_of(*model.model.weights, router);
  const std::size_t columns = model.config.embedding;
  std::vector<std::vector<std::size_t>> tokens(model.config.mixture->experts);
  for (std::size_t t = 0; t < kTokens; ++t) {
    const auto scores = product(weights, std::span(inputs).subspan(t * columns, columns));
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    for (std::size_t i = 0; i < model.config.mixture->used; ++i) tokens[order[i]].push_back(t);
  }
  return tokens;
}

class PairedExperts : public ::testing::TestWithParam<std::string> {
 protected:
  PairedExperts() {
    replacements_ = replace(model_, kAllOfMixtures);
    original_ = router_inputs(model_, source_);
    // The stream that was replaced is the forward pass of the replaced model.
    std::vector<std::unique_ptr<ReplacedTensor>> sources;
    const WeightSource* last = &source_;
    for (const auto& [tensor, weights] : replacements_) {
      const auto bytes = std::as_bytes(std::span(weights));
      sources.push_back(std::make_unique<ReplacedTensor>(*last, tensor, ElementType::F32,
                                                         std::vector<std::byte>(bytes.begin(), bytes.end())));
      last = sources.back().get();
    }
    replaced_ = router_inputs(model_, *last);
  }

  testing::PairedWalk walk(const model::PairedSettings& settings) const {
    return paired_walk(model_, replacements_, settings);
  }
  std::size_t tensor(std::size_t layer, const std::string& stem) const {
    return source_.find("blk." + std::to_string(layer) + "." + stem + ".weight").value();
  }
  std::vector<std::vector<std::size_t>> tokens_of(std::size_t layer) const {
    const std::size_t router = tensor(layer, "ffn_gate_inp");
    return tokens_by_expert(model_, router, replaced_.at(router));
  }
  std::span<const float> original_row(std::size_t layer, std::size_t token) const {
    const std::size_t columns = model_.config.embedding;
    return std::span(original_.at(tensor(layer, "ffn_gate_inp"))).subspan(token * columns, columns);
  }
  /// What the original expert's down reads of a token.
  std::vector<double> original_activation(std::size_t layer, std::size_t expert, std::size_t token) const {
    const std::size_t size = std::size_t{model_.config.mixture->feed_forward} * model_.config.embedding;
    const auto project = [&](const char* stem) {
      const auto weights = weights_of(source_, tensor(layer, stem));
      return product(std::span(weights).subspan(expert * size, size), original_row(layer, token));
    };
    auto gate = project("ffn_gate_exps");
    const auto up = project("ffn_up_exps");
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
    return gate;
  }

  LongModel model_{GetParam()};
  const WeightSource& source_ = *model_.model.weights;
  testing::Replacements replacements_;
  RouterInputs original_, replaced_;
};

TEST_P(PairedExperts, AreShownTheReferenceOfTheTokensThatTheReplacedStreamSends) {
  const auto found = walk({.forward = {.threads = 2}});
  bool chooses_otherwise = false;
  for (std::size_t layer = 0; layer < model_.config.layers; ++layer) {
    const auto tokens = tokens_of(layer);
    const std::size_t router = tensor(layer, "ffn_gate_inp");
    chooses_otherwise |= tokens != tokens_by_expert(model_, router, original_.at(router));
    for (std::size_t expert = 0; expert < tokens.size(); ++expert) {
      if (tokens[expert].empty()) continue;
      const auto& in = found.reference.expert_inputs.at({tensor(layer, "ffn_up_exps"), expert});
      const auto& down = found.reference.expert_inputs.at({tensor(layer, "ffn_down_exps"), expert});
      std::vector<float> expected_in, expected_down;
      for (std::size_t i = 0; i < tokens[expert].size(); ++i) {
        const auto row = original_row(layer, tokens[expert][i]);
        expected_in.insert(expected_in.end(), row.begin(), row.end());
      }
      EXPECT_EQ(in, expected_in) << layer << " " << expert;
      for (std::size_t i = 0; i < tokens[expert].size(); i += 50) {
        const auto row = original_activation(layer, expert, tokens[expert][i]);
        for (std::size_t c = 0; c < row.size(); ++c)
          ASSERT_NEAR(down.at(i * row.size() + c), row[c], 1e-4 * (1 + std::abs(row[c])));
      }
    }
  }
  EXPECT_TRUE(chooses_otherwise);
}

TEST_P(PairedExperts, AreShownTokensWithAReferenceFirst) {
  constexpr std::size_t kTogether = 2;  // windows
  const auto all = walk({.forward = {.threads = 2}});
  model::PairedSettings settings;
  settings.forward.threads = 2;
  settings.reference_every = 2;
  settings.batch_tokens = kTogether * kContext;
  const auto some = walk(settings);
  for (std::size_t layer = 0; layer < model_.config.layers; ++layer) {
    const auto tokens = tokens_of(layer);
    for (const char* stem : {"ffn_gate_exps", "ffn_down_exps"}) {
      for (std::size_t expert = 0; expert < tokens.size(); ++expert) {
        if (tokens[expert].empty()) continue;
        const std::pair place{tensor(layer, stem), expert};
        const std::size_t columns = source_.tensors()[place.first].columns();
        std::vector<float> reference, first, rest;
        for (std::size_t i = 0; i < tokens[expert].size(); ++i) {
          const bool is_paired = tokens[expert][i] / kContext / kTogether % 2 == 0;
          const auto copy = [&](const testing::Walk& from, std::vector<float>& to) {
            const auto row = std::span(from.expert_inputs.at(place)).subspan(i * columns, columns);
            to.insert(to.end(), row.begin(), row.end());
          };
          copy(all.replaced, is_paired ? first : rest);
          if (is_paired) copy(all.reference, reference);
        }
        first.insert(first.end(), rest.begin(), rest.end());
        EXPECT_EQ(some.reference.expert_inputs.at(place), reference) << stem << " " << expert;
        EXPECT_EQ(some.replaced.expert_inputs.at(place), first) << stem << " " << expert;
      }
    }
  }
}

TEST_P(PairedExperts, DoNotDependOnThreadsScratchFilesOrBatches) {
  for (const auto precision : kernels::available_precisions()) {
    model::PairedSettings settings;
    settings.forward.precision = precision;
    settings.forward.threads = 1;
    const auto expected = walk(settings);
    settings.forward.threads = 3;
    settings.forward.memory_bytes = 0;
    settings.batch_tokens = kContext;
    const auto found = walk(settings);
    EXPECT_TRUE(found.reference == expected.reference);
    EXPECT_TRUE(found.replaced == expected.replaced);
  }
}

TEST_P(PairedExperts, CountTheTokensOfTheReferenceWhenItIsAlone) {
  model::PairedSettings settings;
  settings.forward.threads = 2;
  settings.sequential = false;
  const auto alone = walk(settings);
  EXPECT_TRUE(alone.reference == testing::forward_walk(model_, source_, kernels::Precision::f32));
  EXPECT_TRUE(alone.replaced == alone.reference);
}

INSTANTIATE_TEST_SUITE_P(Golden, PairedExperts, ::testing::Values("mixtral", "qwen2-moe", "qwen3-moe"),
                         testing::name_of_golden);

}  // namespace
}  // namespace tessera
