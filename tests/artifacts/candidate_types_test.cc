#include "artifacts/candidate_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TensorDescriptor matrix(std::uint64_t columns) {
  return {"blk.0.attn_q.weight", ElementType::F16, {64, columns}};
}

TEST(CandidateTypes, AreInOrderOfBitsWhateverTheOrderAskedFor) {
  const std::vector wanted = {ElementType::Q8_0, ElementType::IQ2_XXS, ElementType::Q4_K, ElementType::Q2_K};
  EXPECT_THAT(candidate_types(wanted, matrix(256), true),
              ElementsAre(ElementType::IQ2_XXS, ElementType::Q2_K, ElementType::Q4_K, ElementType::Q8_0));
}

TEST(CandidateTypes, FallBackWhereBlocksDoNotFitTheRowsAndStandOnce) {
  // 96 columns are three blocks of 32 and none of 256.
  const std::vector wanted = {ElementType::Q4_K, ElementType::Q5_0, ElementType::Q8_0};
  const auto fallback = info(ElementType::Q4_K).fallback;
  ASSERT_EQ(fallback, ElementType::Q5_0);
  EXPECT_THAT(candidate_types(wanted, matrix(96), true), ElementsAre(ElementType::Q5_0, ElementType::Q8_0));
}

TEST(CandidateTypes, LeaveOutWhatNeitherFitsNorFallsBack) {
  const std::vector wanted = {ElementType::Q4_K, ElementType::Q8_0, ElementType::F16};
  EXPECT_THAT(candidate_types(wanted, matrix(33), true), ElementsAre(ElementType::F16));
  EXPECT_THAT(candidate_types(std::vector{ElementType::Q4_K}, matrix(33), true), IsEmpty());
}

TEST(CandidateTypes, LeaveOutTypesThatNeedImportanceWhereThereIsNone) {
  const std::vector wanted = {ElementType::IQ1_S, ElementType::IQ2_XXS, ElementType::Q2_K};
  EXPECT_THAT(candidate_types(wanted, matrix(256), false), ElementsAre(ElementType::Q2_K));
  EXPECT_THAT(candidate_types(wanted, matrix(256), true),
              ElementsAre(ElementType::IQ1_S, ElementType::IQ2_XXS, ElementType::Q2_K));
}

TEST(UsableType, IsTheTypeItsFallbackOrNone) {
  EXPECT_EQ(usable_type(ElementType::Q6_K, matrix(256), false), ElementType::Q6_K);
  EXPECT_EQ(usable_type(ElementType::Q6_K, matrix(96), false), info(ElementType::Q6_K).fallback);
  EXPECT_EQ(usable_type(ElementType::Q6_K, matrix(33), false), std::nullopt);
  EXPECT_EQ(usable_type(ElementType::IQ1_S, matrix(256), false), std::nullopt);
  EXPECT_EQ(usable_type(ElementType::IQ1_S, matrix(256), true), ElementType::IQ1_S);
}

}  // namespace
}  // namespace tessera
