// The forward pass against PyTorch's logits, in both precisions, and against itself with other thread counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "forward/golden_model.h"
#include "foundation/kernels/gemm.h"
#include "model/forward/output_head.h"

namespace tessera {
namespace {

using testing::GoldenModel;

/// Logits of all windows at the golden positions.
std::vector<float> logits_of(const GoldenModel& golden, const model::ForwardSettings& settings) {
  model::ForwardPass pass(*golden.model.weights, golden.config, golden.batch(), settings);
  const StopFlag never;
  pass.embed();
  for (std::uint32_t layer = 0; layer < golden.config.layers; ++layer) {
    pass.run_layer(pass.loader().layer(layer), layer, nullptr, never);
  }
  const auto weights = pass.loader().output();
  model::OutputHead head(golden.config, weights, settings.precision);
  std::vector<float> result;
  for (std::size_t window = 0; window < golden.batch().windows(); ++window) {
    for (const auto position : golden.golden.integers("positions")) {
      const auto logits = head.logits(pass.states(), window, static_cast<std::size_t>(position), 1);
      result.insert(result.end(), logits.begin(), logits.end());
    }
  }
  return result;
}

class ForwardLogits : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenModel golden{GetParam()};
};

TEST_P(ForwardLogits, AreWithinATenThousandthOfPyTorchsInFloat32) {
  const auto logits = logits_of(golden, {.precision = kernels::Precision::f32, .threads = 2});
  EXPECT_LT(testing::relative_error(golden.golden.floats("logits"), logits), 1e-4);
}

TEST_P(ForwardLogits, AreNearPyTorchsInBfloat16) {
  if (kernels::available_precisions().back() != kernels::Precision::bf16) {
    GTEST_SKIP() << "this machine has no bf16 products";
  }
  const auto logits = logits_of(golden, {.precision = kernels::Precision::bf16, .threads = 2});
  // Rounding sends tokens whose experts are almost equally good to others.
  const double tolerance = golden.config.mixture ? 5e-2 : 2e-2;
  EXPECT_LT(testing::relative_error(golden.golden.floats("logits"), logits), tolerance);
}

TEST_P(ForwardLogits, AreTheSameBitsForAnyNumberOfThreadsAndWithAScratchFile) {
  for (const auto precision : kernels::available_precisions()) {
    const auto one = logits_of(golden, {.precision = precision, .threads = 1});
    EXPECT_EQ(logits_of(golden, {.precision = precision, .threads = 3}), one);
    EXPECT_EQ(logits_of(golden, {.precision = precision, .threads = 2, .memory_bytes = 0}), one);
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, ForwardLogits, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& name) {
                           std::string letters;
                           for (const char c : name.param) letters += c == '-' ? '_' : c;
                           return letters;
                         });

}  // namespace
}  // namespace tessera
