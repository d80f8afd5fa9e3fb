// Smoothing is exact: whatever the scales, the logits stay.
#include "stages/smoothed_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <random>

#include "forward/golden_model.h"
#include "model/architecture/tensor_name.h"
#include "model/forward/output_head.h"
#include "tensor/memory_source.h"

namespace tessera {
namespace {

using testing::GoldenModel;

std::vector<float> logits_of(const WeightSource& weights, const model::DecoderConfig& config,
                             const model::TokenBatch& batch) {
  model::ForwardPass pass(weights, config, batch, {.precision = kernels::Precision::f32});
  const StopFlag never;
  pass.embed();
  for (std::uint32_t layer = 0; layer < config.layers; ++layer)
    pass.run_layer(pass.loader().layer(layer), layer, nullptr, never);
  const auto output = pass.loader().output();
  model::OutputHead head(config, output, kernels::Precision::f32);
  std::vector<float> result;
  for (std::size_t window = 0; window < batch.windows(); ++window) {
    const auto logits = head.logits(pass.states(), window, 0, batch.context);
    result.insert(result.end(), logits.begin(), logits.end());
  }
  return result;
}

/// The model with scales over five orders of magnitude for every channel of every fold.
stages::SmoothedWeights wildly_smoothed(const model::OpenedModel& model, const model::DecoderConfig& config) {
  const auto rules = model::smoothing_folds(model.metadata.text("general.architecture").value());
  std::mt19937 random(11);
  std::uniform_real_distribution<double> exponent(-2.5, 2.5);
  SmoothingPlan plan;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    for (const auto& rule : rules) {
      const auto carrier = model.weights->find(model::with_indices(rule.carrier, {.layer = layer})).value();
      const auto& tensor = model.weights->tensors()[carrier];
      SmoothedFold fold{.layer = layer, .fold = std::string(rule.name), .alpha = 0.5};
      const auto channels = tensor.shape.size() == 1 ? tensor.columns() : tensor.rows();
      for (std::uint64_t c = 0; c < channels; ++c) fold.scales.push_back(std::pow(10, exponent(random)));
      plan.folds.push_back(std::move(fold));
    }
  }
  return {*model.weights, plan, rules, {config.head_size, config.group()}};
}

class SmoothedModel : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenModel golden{GetParam()};
};

TEST_P(SmoothedModel, HasTheLogitsOfTheOriginal) {
  const auto& [config, batch] = std::pair(golden.config, golden.batch());
  const auto smoothed = wildly_smoothed(golden.model, config);
  EXPECT_LT(testing::relative_error(logits_of(*golden.model.weights, config, batch),
                                    logits_of(smoothed, config, batch)),
            1e-4);
}

TEST(SmoothedSharedModels, HaveTheLogitsOfTheirOriginals) {
  for (const char* name : {"tiny", "small"}) {
    const auto folder = std::filesystem::path(TESSERA_SHARED) / "models" / name;
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
    const auto model = model::open_model(folder);
    const auto config = model::read_decoder_config(model);
    std::vector<std::int32_t> tokens;
    for (std::int32_t i = 0; i < 128; ++i) tokens.push_back(1 + i * 31 % 4000);
    const model::TokenBatch batch{tokens, 64};
    EXPECT_LT(testing::relative_error(logits_of(*model.weights, config, batch),
                                      logits_of(wildly_smoothed(model, config), config, batch)),
              1e-4)
        << name;
  }
}

TEST_P(SmoothedModel, ReadsTheSameInPieces) {
  const auto smoothed = wildly_smoothed(golden.model, golden.config);
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

INSTANTIATE_TEST_SUITE_P(Golden, SmoothedModel, ::testing::ValuesIn(testing::dense_golden_models()),
                         testing::name_of_golden);

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
