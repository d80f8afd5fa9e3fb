// The pass of two streams against the forward pass, bit for bit.
#include "model/forward/paired_pass.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "forward/golden_model.h"
#include "foundation/base/error.h"
#include "foundation/kernels/gemm.h"
#include "foundation/tensor/replaced_tensor.h"
#include "tensor/memory_source.h"

namespace tessera {
namespace {

using testing::GoldenModel;

/// More than a tile, and no multiple of one.
constexpr std::size_t kContext = 300;
constexpr std::size_t kWindows = 5;

/// What one stream was seen to do.
struct Walk {
  std::map<std::size_t, std::vector<float>> inputs;  ///< by reading tensor: [windows * context, in]
  std::vector<std::vector<std::byte>> states;        ///< at every layer boundary

  bool operator==(const Walk&) const = default;

  void keep(const model::HiddenStates& hidden) {
    states.emplace_back(hidden.bytes().begin(), hidden.bytes().end());
  }
};

/// Both streams' walks.
struct PairedWalk {
  Walk reference;
  Walk replaced;
};

class Recorder : public model::ForwardObserver {
 public:
  explicit Recorder(Walk& walk) : walk_(walk) {}

  void linear_input(const model::LinearInput& input) override {
    const std::size_t columns = input.rows.columns();
    for (const std::size_t tensor : input.tensors) {
      auto& rows = walk_.inputs[tensor];
      rows.resize(kWindows * kContext * columns);
      const std::size_t row = input.place.window * kContext + input.place.first_position;
      input.rows.load(input.first_row, std::span(rows).subspan(row * columns, input.tokens * columns));
    }
  }

 private:
  Walk& walk_;
};

/// A golden model with longer windows, made of the golden tokens over and over.
struct LongModel : GoldenModel {
  explicit LongModel(const std::string& name) : GoldenModel(name) {
    const auto short_text = tokens;
    tokens.resize(kWindows * kContext);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = short_text[i * 7 % short_text.size()];
    context = kContext;
  }
};

Walk forward_walk(const LongModel& model, const WeightSource& source, kernels::Precision precision) {
  model::ForwardPass pass(source, model.config, model.batch(), {.precision = precision, .threads = 1});
  const StopFlag never;
  Walk walk;
  Recorder recorder(walk);
  pass.embed();
  walk.keep(pass.states());
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer) {
    pass.run_layer(pass.loader().layer(layer), layer, &recorder, never);
    walk.keep(pass.states());
  }
  pass.observe_output(recorder, never);
  return walk;
}

/// Weights to replace a tensor by, or none.
using Replacements = std::map<std::size_t, std::vector<float>>;

void append(const kernels::Matrix& matrix, std::size_t tokens, std::span<const std::size_t> readers,
            Walk& walk) {
  std::vector<float> rows(tokens * matrix.columns());
  matrix.load(0, rows);
  for (const std::size_t tensor : readers)
    walk.inputs[tensor].insert(walk.inputs[tensor].end(), rows.begin(), rows.end());
}

PairedWalk paired_walk(const LongModel& model, const Replacements& replacements,
                       const model::PairedSettings& settings) {
  model::PairedPass pass(*model.model.weights, model.config, model.batch(), settings);
  const StopFlag never;
  PairedWalk walk;
  const auto keep = [&] {
    walk.reference.keep(pass.reference());
    walk.replaced.keep(pass.replaced());
  };
  const auto recorder = [&](std::vector<std::size_t> readers) {
    return [&walk, readers](const model::PairedRows& rows) {
      if (rows.reference != nullptr) append(*rows.reference, rows.tokens, readers, walk.reference);
      append(rows.replaced, rows.tokens, readers, walk.replaced);
    };
  };
  pass.embed();
  keep();
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer) {
    pass.begin_layer(layer);
    for (const auto input : model::kLayerInputs) {
      const auto readers = pass.readers(input);
      pass.show(input, recorder(readers), never);
      for (const std::size_t tensor : readers) {
        if (replacements.contains(tensor)) pass.replace(tensor, replacements.at(tensor));
      }
    }
    pass.end_layer(never);
    keep();
  }
  pass.show_output(recorder({pass.output_reader()}), never);
  return walk;
}

std::vector<float> other_weights(const WeightSource& source, std::size_t tensor) {
  const auto& descriptor = source.tensors()[tensor];
  return testing::normal_weights(descriptor.rows() * descriptor.columns(), static_cast<unsigned>(tensor));
}

/// Other weights for some linears of every layer.
Replacements replace(const LongModel& model, const std::vector<std::string>& linears) {
  const WeightSource& source = *model.model.weights;
  Replacements replacements;
  for (std::uint32_t layer = 0; layer < model.config.layers; ++layer) {
    for (const auto& linear : linears) {
      const auto tensor = source.find("blk." + std::to_string(layer) + "." + linear + ".weight").value();
      replacements[tensor] = other_weights(source, tensor);
    }
  }
  return replacements;
}

/// The walk of a model that has the replacements as its own weights.
Walk replaced_forward_walk(const LongModel& model, const Replacements& replacements,
                           kernels::Precision precision) {
  std::vector<std::unique_ptr<ReplacedTensor>> sources;
  const WeightSource* last = model.model.weights.get();
  for (const auto& [tensor, weights] : replacements) {
    std::vector<std::byte> bytes(weights.size() * sizeof(float));
    std::memcpy(bytes.data(), weights.data(), bytes.size());
    sources.push_back(std::make_unique<ReplacedTensor>(*last, tensor, ElementType::F32, std::move(bytes)));
    last = sources.back().get();
  }
  return forward_walk(model, *last, precision);
}

const std::vector<std::string> kAllLinears = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                              "ffn_gate", "ffn_up", "ffn_down"};

class PairedPass : public ::testing::TestWithParam<std::string> {
 protected:
  LongModel model{GetParam()};
};

TEST_P(PairedPass, WithNothingReplacedBothStreamsHaveTheBitsOfTheForwardPass) {
  for (const auto precision : kernels::available_precisions()) {
    const Walk expected = forward_walk(model, *model.model.weights, precision);
    const auto walk = paired_walk(model, {}, {.forward = {.precision = precision, .threads = 2}});
    EXPECT_EQ(walk.reference.inputs.size(), 7 * model.config.layers + 1);
    EXPECT_TRUE(walk.reference == expected);
    EXPECT_TRUE(walk.replaced == expected);
  }
}

TEST_P(PairedPass, TheReplacedStreamIsTheForwardPassOfTheReplacedModel) {
  for (const auto precision : kernels::available_precisions()) {
    const auto replacements = replace(model, kAllLinears);
    const auto walk = paired_walk(model, replacements, {.forward = {.precision = precision, .threads = 2}});
    EXPECT_TRUE(walk.reference == forward_walk(model, *model.model.weights, precision));
    EXPECT_TRUE(walk.replaced == replaced_forward_walk(model, replacements, precision));
    EXPECT_FALSE(walk.replaced == walk.reference);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, PairedPass, ::testing::ValuesIn(testing::dense_golden_models()),
                         [](const auto& name) {
                           std::string letters;
                           for (const char c : name.param) letters += c == '-' ? '_' : c;
                           return letters;
                         });

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
