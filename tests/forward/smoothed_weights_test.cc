// Smoothing is exact: whatever the scales, the logits stay.
#include "stages/smoothed_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "forward/golden_model.h"
#include "model/architecture/tensor_name.h"
#include "model/forward/output_head.h"
#include "tensor/memory_source.h"

namespace tessera {
namespace {

using testing::GoldenModel;

std::vector<float> logits_of(const GoldenModel& golden, const WeightSource& weights) {
  model::ForwardPass pass(weights, golden.config, golden.batch(), {.precision = kernels::Precision::f32});
  const StopFlag never;
  pass.embed();
  for (std::uint32_t layer = 0; layer < golden.config.layers; ++layer)
    pass.run_layer(pass.loader().layer(layer), layer, nullptr, never);
  const auto output = pass.loader().output();
  model::OutputHead head(golden.config, output, kernels::Precision::f32);
  std::vector<float> result;
  for (std::size_t window = 0; window < golden.batch().windows(); ++window) {
    const auto logits = head.logits(pass.states(), window, 0, golden.context);
    result.insert(result.end(), logits.begin(), logits.end());
  }
  return result;
}

class SmoothedModel : public ::testing::TestWithParam<std::string> {
 protected:
  /// Scales over five orders of magnitude for every channel of every fold.
  SmoothingPlan wild_plan() const {
    std::mt19937 random(11);
    std::uniform_real_distribution<double> exponent(-2.5, 2.5);
    SmoothingPlan plan;
    for (std::uint32_t layer = 0; layer < golden.config.layers; ++layer) {
      for (const auto& rule : rules()) {
        const auto carrier =
            golden.model.weights->find(model::with_indices(rule.carrier, {.layer = layer})).value();
        const auto& tensor = golden.model.weights->tensors()[carrier];
        SmoothedFold fold{.layer = layer, .fold = std::string(rule.name), .alpha = 0.5};
        const auto channels = tensor.shape.size() == 1 ? tensor.columns() : tensor.rows();
        for (std::uint64_t c = 0; c < channels; ++c) fold.scales.push_back(std::pow(10, exponent(random)));
        plan.folds.push_back(std::move(fold));
      }
    }
    return plan;
  }
  std::span<const model::FoldRule> rules() const {
    return model::smoothing_folds(golden.model.metadata.text("general.architecture").value());
  }
  model::HeadShape heads() const { return {golden.config.head_size, golden.config.group()}; }

  GoldenModel golden{GetParam()};
};

TEST_P(SmoothedModel, HasTheLogitsOfTheOriginal) {
  const auto& original = *golden.model.weights;
  const stages::SmoothedWeights smoothed(original, wild_plan(), rules(), heads());
  EXPECT_LT(testing::relative_error(logits_of(golden, original), logits_of(golden, smoothed)), 1e-4);
}

TEST_P(SmoothedModel, ReadsTheSameInPieces) {
  const stages::SmoothedWeights smoothed(*golden.model.weights, wild_plan(), rules(), heads());
  std::vector<std::byte> scratch, row_scratch;
  for (std::size_t i = 0; i < smoothed.tensors().size(); ++i) {
    const auto& tensor = smoothed.tensors()[i];
    const auto all = smoothed.stored_rows(i, {0, tensor.rows()}, scratch);
    const auto bytes = row_bytes(tensor.type, tensor.columns());
    for (std::uint64_t row = 0; row < tensor.rows(); row += 13) {
      const auto one = smoothed.stored_rows(i, {row, 1}, row_scratch);
      ASSERT_TRUE(std::ranges::equal(one, all.subspan(row * bytes, bytes))) << tensor.name << " " << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, SmoothedModel, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& golden) {
                           std::string name = golden.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

SmoothedFold attention_fold(double scale) {
  return {.layer = 0, .fold = "attention", .alpha = 0.5, .scales = std::vector<double>(32, scale)};
}

void fill(testing::MemorySource& source, ElementType type) {
  source.add("blk.0.attn_norm.weight", ElementType::F32, {32}, std::vector<float>(32, 1));
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"})
    source.add(name, type, {4, 32}, std::vector<float>(128, 3));
}

TEST(SmoothedWeights, ChangeNothingWhereAFoldIsLeftAlone) {
  testing::MemorySource source;
  fill(source, ElementType::F16);
  auto fold = attention_fold(7);
  fold.alpha.reset();
  const stages::SmoothedWeights smoothed(source, {{fold}}, model::smoothing_folds("llama"), {});
  std::vector<std::byte> scratch, other;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    EXPECT_TRUE(
        std::ranges::equal(smoothed.stored_rows(i, {0, 1}, scratch), source.stored_rows(i, {0, 1}, other)));
  }
}

}  // namespace
}  // namespace tessera
