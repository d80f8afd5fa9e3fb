// The forward pass against PyTorch's logits, in both precisions, and against itself with other thread counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "forward/golden_model.h"
#include "foundation/kernels/gemm.h"

namespace tessera {
namespace {

using testing::GoldenModel;
using testing::logits_of;

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
                         testing::name_of_golden);

}  // namespace
}  // namespace tessera
