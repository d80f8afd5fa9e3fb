// The error of tensors, dense and stacked.
#include "stages/compare_models.h"

#include <gtest/gtest.h>

#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

TEST(CompareTensor, WeighsEveryStackedMatrixByItsOwnImportance) {
  constexpr std::uint64_t kExperts = 2;
  constexpr std::uint64_t kRows = 3;
  constexpr std::uint64_t kColumns = 2;
  const std::vector<float> ones(kExperts * kRows * kColumns, 1.0f);
  auto changed = ones;
  changed[0] = 3;                     // expert 0, column 0: squared error 4
  changed[kRows * kColumns + 1] = 2;  // expert 1, column 1: squared error 1
  testing::MemorySource original, quantized;
  original.add("experts.weight", ElementType::F32, {kExperts, kRows, kColumns}, ones);
  quantized.add("experts.weight", ElementType::F32, {kExperts, kRows, kColumns}, changed);
  const std::vector<float> importance{10, 1, 1, 100};
  for (const int threads : {1, 2}) {
    const auto result = compare_tensor(original, quantized, 0, importance, threads);
    EXPECT_DOUBLE_EQ(result.error.sums.error, 5);
    EXPECT_DOUBLE_EQ(result.error.sums.weighted_error, 10 * 4 + 100 * 1);
    EXPECT_DOUBLE_EQ(result.error.sums.weighted_energy, 3.0 * (10 + 1 + 1 + 100));
    EXPECT_DOUBLE_EQ(result.importance_total, 3.0 * (10 + 1 + 1 + 100));
  }
}

TEST(CompareTensor, WithoutImportanceIsThePlainError) {
  testing::MemorySource original, quantized;
  original.add("a.weight", ElementType::F32, {2, 2}, {1, 2, 3, 4});
  quantized.add("a.weight", ElementType::F32, {2, 2}, {1, 2, 3, 6});
  const auto result = compare_tensor(original, quantized, 0, {}, 1);
  EXPECT_DOUBLE_EQ(result.error.sums.error, 4);
  EXPECT_FALSE(result.error.has_importance);
}

}  // namespace
}  // namespace tessera::stages
