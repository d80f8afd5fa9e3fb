// The backward pass against PyTorch's gradients (testdata/forward/*/gradients.safetensors; their meaning in
// tools/make_golden_forward.py), and against itself with other thread counts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "forward/golden_model.h"
#include "foundation/base/error.h"
#include "foundation/kernels/gemm.h"
#include "model/forward/backward_pass.h"
#include "model/forward/fisher_importance.h"
#include "model/forward/gradient_importance.h"

namespace tessera {
namespace {

using testing::GoldenModel;
using testing::GoldenTensors;
using testing::relative_error;

/// What a walk gives, by tensor name; the output matrix goes by its own name where it is tied as well.
struct Gradients {
  std::vector<double> losses;                          ///< by window
  std::map<std::string, std::vector<float>> gradient;  ///< mean over windows of |G W|, by column
  std::map<std::string, std::vector<float>> fisher;    ///< sum over tokens, by column
  std::map<std::string, std::vector<float>> fisher_by_weight;
  std::vector<std::vector<float>> boundaries;  ///< by boundary: the first window's gradient
};

/// Hands everything to both methods.
class BothMethods : public model::GradientObserver {
 public:
  explicit BothMethods(const model::ForwardSettings& settings)
      : gradient({settings.precision, settings.threads}),
        fisher({settings.precision, settings.threads}, model::FisherDetail::weights) {}

  void linear_gradients(std::span<const model::LinearGradients> linears) override {
    gradient.linear_gradients(linears);
    fisher.linear_gradients(linears);
  }

  model::GradientImportance gradient;
  model::FisherImportance fisher;
};

std::vector<float> first_window(const model::HiddenStates& states) {
  std::vector<float> values(states.context() * states.embedding());
  states.load(0, 0, values);
  return values;
}

void take(BothMethods& methods, std::size_t tensor, const std::string& name, double windows,
          Gradients& result) {
  for (const double value : methods.gradient.take(tensor))
    result.gradient[name].push_back(static_cast<float>(value / windows));
  for (const double value : methods.fisher.take(tensor).columns)
    result.fisher[name].push_back(static_cast<float>(value));
  result.fisher_by_weight[name] = methods.fisher.take_weights(tensor);
}

/// Embeds all windows and takes them through the first `layers` layers.
void run_forward(model::ForwardPass& forward, model::BackwardPass& backward, std::uint32_t layers,
                 const StopFlag& stop) {
  forward.embed();
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    backward.run_forward_layer(forward.loader().layer(layer), layer, stop);
  }
}

Gradients gradients_of(const GoldenModel& golden, const model::ForwardSettings& settings,
                       const model::BackwardSettings& backward_settings = {}) {
  model::ForwardPass forward(*golden.model.weights, golden.config, golden.batch(), settings);
  model::BackwardPass backward(forward, backward_settings);
  const StopFlag never;
  BothMethods methods(settings);
  Gradients result;
  const auto windows = static_cast<double>(golden.batch().windows());
  run_forward(forward, backward, golden.config.layers, never);
  const auto output = forward.loader().output();
  result.losses = backward.run_output(output, methods, never);
  take(methods, output.output.tensor, "output.weight", windows, result);
  result.boundaries.push_back(first_window(backward.gradients()));
  for (std::uint32_t layer = golden.config.layers; layer-- > 0;) {
    const auto weights = forward.loader().layer(layer);
    backward.run_layer(weights, layer, methods, never);
    for (const auto* linear : model::LayerBackward::linears(weights)) {
      take(methods, linear->tensor, golden.model.weights->tensors()[linear->tensor].name, windows, result);
    }
    result.boundaries.insert(result.boundaries.begin(), first_window(backward.gradients()));
  }
  return result;
}

class BackwardGradients : public ::testing::TestWithParam<std::string> {
 protected:
  void expect_near(const Gradients& actual, double tolerance) const {
    const auto losses = expected.floats("nll");
    ASSERT_EQ(actual.losses.size(), losses.size());
    for (std::size_t i = 0; i < losses.size(); ++i)
      EXPECT_NEAR(actual.losses[i], losses[i], tolerance / 10 * losses[i]);
    expect_near("gradient.", actual.gradient, tolerance);
    expect_near("fisher.", actual.fisher, tolerance);
    for (const auto& name : expected.names("fisher.full."))
      EXPECT_LT(relative_error(expected.floats("fisher.full." + name), actual.fisher_by_weight.at(name)),
                tolerance)
          << name;
    for (const auto& name : expected.names("boundary.")) {
      const auto& boundary = actual.boundaries.at(static_cast<std::size_t>(std::stoi(name)));
      EXPECT_LT(relative_error(expected.floats("boundary." + name), boundary), tolerance) << name;
    }
  }

  void expect_near(const std::string& prefix, const std::map<std::string, std::vector<float>>& columns,
                   double tolerance) const {
    std::size_t compared = 0;
    for (const auto& name : expected.names(prefix)) {
      if (name.starts_with("full.")) continue;
      ++compared;
      EXPECT_LT(relative_error(expected.floats(prefix + name), columns.at(name)), tolerance)
          << prefix << name;
    }
    EXPECT_EQ(compared, columns.size());
    EXPECT_EQ(compared, 7 * golden.config.layers + 1);
  }

  GoldenModel golden{GetParam()};
  GoldenTensors expected{golden.folder + "/gradients.safetensors"};
};

TEST_P(BackwardGradients, AreWithinAHundredThousandthOfAutogradsInFloat32) {
  expect_near(gradients_of(golden, {.precision = kernels::Precision::f32, .threads = 2}), 1e-5);
}

TEST_P(BackwardGradients, AreWithinTwoHundredthsOfAutogradsInBfloat16) {
  if (kernels::available_precisions().back() != kernels::Precision::bf16) {
    GTEST_SKIP() << "this machine has no bf16 products";
  }
  expect_near(gradients_of(golden, {.precision = kernels::Precision::bf16, .threads = 2}), 2e-2);
}

TEST_P(BackwardGradients, AreTheSameBitsForAnyNumberOfThreadsAndWithScratchFiles) {
  for (const auto precision : kernels::available_precisions()) {
    const auto one = gradients_of(golden, {.precision = precision, .threads = 1});
    for (const model::ForwardSettings& settings :
         {model::ForwardSettings{.precision = precision, .threads = 3},
          model::ForwardSettings{.precision = precision, .threads = 2, .memory_bytes = 0}}) {
      const auto other = gradients_of(golden, settings);
      EXPECT_EQ(other.losses, one.losses);
      EXPECT_EQ(other.gradient, one.gradient);
      EXPECT_EQ(other.fisher, one.fisher);
      EXPECT_EQ(other.fisher_by_weight, one.fisher_by_weight);
      EXPECT_EQ(other.boundaries, one.boundaries);
    }
  }
}

TEST(BackwardPass, GoesOnFromStoredGradientsWithTheSameBits) {
  const GoldenModel golden("demo-model");
  const model::ForwardSettings settings{.precision = kernels::fastest_precision(), .threads = 2};
  const std::uint32_t layers = golden.config.layers;
  const StopFlag never;
  BothMethods whole(settings);
  model::ForwardPass forward(*golden.model.weights, golden.config, golden.batch(), settings);
  model::BackwardPass backward(forward);
  run_forward(forward, backward, layers, never);
  backward.run_output(forward.loader().output(), whole, never);
  backward.run_layer(forward.loader().layer(layers - 1), layers - 1, whole, never);
  const auto stored = backward.gradients().bytes();

  BothMethods rest(settings);
  model::ForwardPass forward_again(*golden.model.weights, golden.config, golden.batch(), settings);
  model::BackwardPass resumed(forward_again);
  run_forward(forward_again, resumed, layers - 1, never);
  std::ranges::copy(stored, resumed.gradients().bytes().begin());
  const auto weights = forward.loader().layer(layers - 2);
  backward.run_layer(weights, layers - 2, whole, never);
  resumed.run_layer(weights, layers - 2, rest, never);
  EXPECT_TRUE(std::ranges::equal(backward.gradients().bytes(), resumed.gradients().bytes()));
  for (const auto* linear : model::LayerBackward::linears(weights)) {
    const auto sums = whole.gradient.take(linear->tensor);
    EXPECT_FALSE(sums.empty());
    EXPECT_EQ(rest.gradient.take(linear->tensor), sums);
    EXPECT_EQ(rest.fisher.take(linear->tensor), whole.fisher.take(linear->tensor));
  }
}

TEST(BackwardPass, StopsWhenAskedTo) {
  const GoldenModel golden("qwen3");
  const model::ForwardSettings settings{.precision = kernels::Precision::f32, .threads = 2};
  BothMethods methods(settings);
  model::ForwardPass forward(*golden.model.weights, golden.config, golden.batch(), settings);
  model::BackwardPass backward(forward);
  StopFlag stop;
  run_forward(forward, backward, golden.config.layers, stop);
  stop.request();
  EXPECT_THROW(backward.run_output(forward.loader().output(), methods, stop), InterruptedError);
  const auto layer = golden.config.layers - 1;
  EXPECT_THROW(backward.run_layer(forward.loader().layer(layer), layer, methods, stop), InterruptedError);
}

TEST(GradientStatistics, OfATensorThatWasNotSeenAreEmpty) {
  model::GradientImportance gradient({});
  model::FisherImportance fisher({}, model::FisherDetail::columns);
  EXPECT_TRUE(gradient.take(7).empty());
  EXPECT_TRUE(fisher.take(7).columns.empty());
  EXPECT_TRUE(fisher.take_weights(7).empty());
}

TEST(BackwardGradientsOfALargeVocabulary, AreThoseOfAutogradWhenItComesInChunks) {
  const GoldenModel golden("demo-model");
  const GoldenTensors expected(golden.folder + "/gradients.safetensors");
  ASSERT_GT(golden.config.vocabulary, 3 * 1024u);
  const auto actual =
      gradients_of(golden, {.precision = kernels::Precision::f32, .threads = 2}, {.vocabulary_chunk = 1536});
  const auto losses = expected.floats("nll");
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(actual.losses[i], losses[i], 1e-5 * losses[i]);
  for (const std::string name : {"output.weight", "blk.0.attn_q.weight", "blk.3.ffn_down.weight"}) {
    EXPECT_LT(relative_error(expected.floats("gradient." + name), actual.gradient.at(name)), 1e-4) << name;
    EXPECT_LT(relative_error(expected.floats("fisher." + name), actual.fisher.at(name)), 1e-4) << name;
  }
}

/// What the output matrix's logits pass back, with a window's positions as rows.
class LogitGradients : public model::GradientObserver {
 public:
  void linear_gradients(std::span<const model::LinearGradients> linears) override {
    for (const auto& gradients : linears) {
      for (const auto& window : gradients.windows) {
        const auto& matrix = *window.output_gradient;
        std::vector<float> values(matrix.rows() * matrix.columns());
        matrix.load(0, values);
        chunks.push_back({gradients.first_output, std::move(values)});
      }
    }
  }

  struct Chunk {
    std::size_t first_output;
    std::vector<float> values;
  };
  std::vector<Chunk> chunks;
};

LogitGradients sampled_logit_gradients(const GoldenModel& golden, std::uint64_t seed, int threads,
                                       std::size_t vocabulary_chunk) {
  model::ForwardPass forward(*golden.model.weights, golden.config, golden.batch(),
                             {.precision = kernels::Precision::f32, .threads = threads});
  model::BackwardPass backward(
      forward, {.vocabulary_chunk = vocabulary_chunk, .labels = {model::LossLabels::sampled, seed}});
  const StopFlag never;
  run_forward(forward, backward, golden.config.layers, never);
  LogitGradients gradients;
  backward.run_output(forward.loader().output(), gradients, never);
  return gradients;
}

TEST(SampledLabels, AreOneTokenPerPositionAsOftenAsTheModelExpectsIt) {
  const GoldenModel golden("demo-model");
  const std::size_t vocabulary = golden.config.vocabulary;
  double agreement = 0, expected = 0, variance = 0;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    for (const auto& chunk : sampled_logit_gradients(golden, seed, 2, 8192).chunks) {
      for (std::size_t t = 0; t + 1 < golden.context; ++t) {
        const auto row = std::span(chunk.values).subspan(t * vocabulary, vocabulary);
        ASSERT_EQ(std::ranges::count_if(row, [](float value) { return value < 0; }), 1);
        const double label = 1 + double{*std::ranges::min_element(row)};
        double squares = 0, cubes = 0;  // of probabilities: moments of that of a drawn token
        for (const float value : row) {
          const double p = value < 0 ? 1 + double{value} : double{value};
          squares += p * p;
          cubes += p * p * p;
        }
        agreement += label;
        expected += squares;
        variance += cubes - squares * squares;
      }
    }
  }
  EXPECT_NEAR(agreement, expected, 4 * std::sqrt(variance));
}

TEST(SampledLabels, DependOnTheSeedAloneAndNotOnChunksOrThreads) {
  const GoldenModel golden("demo-model");
  const auto labels = [&](std::uint64_t seed, int threads, std::size_t vocabulary_chunk) {
    std::vector<std::size_t> found;
    for (const auto& chunk : sampled_logit_gradients(golden, seed, threads, vocabulary_chunk).chunks) {
      const std::size_t columns = chunk.values.size() / golden.context;
      for (std::size_t i = 0; i < chunk.values.size(); ++i)
        if (chunk.values[i] < 0) found.push_back(i / columns * 100000 + chunk.first_output + i % columns);
    }
    std::ranges::sort(found);
    return found;
  };
  EXPECT_EQ(labels(3, 1, 8192), labels(3, 2, 512));
  EXPECT_NE(labels(3, 1, 8192), labels(4, 1, 8192));
}

/// Sums of the Fisher diagonal by column and by row, and the diagonal itself.
TEST(FisherMarginals, AreTheSumsOfTheDiagonal) {
  const GoldenModel golden("demo-model");
  model::ForwardPass forward(*golden.model.weights, golden.config, golden.batch(),
                             {.precision = kernels::Precision::f32, .threads = 2});
  model::BackwardPass backward(forward, {.vocabulary_chunk = 1024});
  const StopFlag never;
  run_forward(forward, backward, golden.config.layers, never);
  model::FisherImportance marginals({}, model::FisherDetail::marginals);
  model::FisherImportance weights({}, model::FisherDetail::weights);
  struct Both : model::GradientObserver {
    Both(model::FisherImportance& a, model::FisherImportance& b) : first(a), second(b) {}
    void linear_gradients(std::span<const model::LinearGradients> linears) override {
      first.linear_gradients(linears);
      second.linear_gradients(linears);
    }
    model::FisherImportance &first, &second;
  } both(marginals, weights);
  const auto output = forward.loader().output();
  backward.run_output(output, both, never);
  const auto sums = marginals.take(output.output.tensor);
  const auto diagonal = weights.take_weights(output.output.tensor);
  ASSERT_EQ(sums.rows.size(), golden.config.vocabulary);
  ASSERT_EQ(diagonal.size(), sums.rows.size() * sums.columns.size());
  double total = 0, row_total = 0;
  for (std::size_t row = 0; row < sums.rows.size(); ++row) {
    double sum = 0;
    for (std::size_t column = 0; column < sums.columns.size(); ++column)
      sum += double{diagonal[row * sums.columns.size() + column]};
    EXPECT_NEAR(sums.rows[row], sum, 1e-4 * sum + 1e-9) << row;
    row_total += sums.rows[row];
  }
  for (const double column : sums.columns) total += column;
  EXPECT_NEAR(total, row_total, 1e-5 * total);
}

TEST(EmbeddingFisher, AddsTheGradientsOfTheRowsThatTokensPick) {
  const std::vector<std::int32_t> tokens = {2, 0, 2, 3};
  model::HiddenStates gradients(2, 2, 3, {.precision = kernels::Precision::f32});
  gradients.store(0, 0, std::vector<float>{1, 2, 3, 0, 1, 0});
  gradients.store(1, 0, std::vector<float>{2, 0, 0, 0, 0, 4});
  const auto sums = model::embedding_fisher(gradients, tokens, 5);
  EXPECT_EQ(sums.columns, (std::vector<double>{5, 5, 25}));
  EXPECT_EQ(sums.rows, (std::vector<double>{1, 0, 18, 16, 0}));
}

INSTANTIATE_TEST_SUITE_P(Golden, BackwardGradients, ::testing::ValuesIn(testing::dense_golden_models()),
                         testing::name_of_golden);

}  // namespace
}  // namespace tessera
