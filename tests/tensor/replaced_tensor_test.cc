#include "foundation/tensor/replaced_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensor/memory_source.h"

namespace tessera {
namespace {

using ::testing::ElementsAreArray;

constexpr std::uint64_t kRows = 4;
constexpr std::uint64_t kColumns = 256;

class ReplacedTensorOfAModel : public ::testing::Test {
 protected:
  ReplacedTensorOfAModel() {
    for (const char* name : {"first", "second", "third"}) {
      base_.add(name, ElementType::F16, {kRows, kColumns}, testing::normal_weights(kRows * kColumns, 1));
    }
    blocks_.resize(kRows * row_bytes(ElementType::Q4_K, kColumns));
    for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i] = static_cast<std::byte>(i * 7);
  }

  testing::MemorySource base_;
  std::vector<std::byte> blocks_;
};

TEST_F(ReplacedTensorOfAModel, DiffersInTheTypeOfThatTensorAlone) {
  const ReplacedTensor changed(base_, 1, ElementType::Q4_K, blocks_);
  ASSERT_EQ(changed.tensors().size(), 3u);
  EXPECT_EQ(changed.tensors()[0].type, ElementType::F16);
  EXPECT_EQ(changed.tensors()[1].type, ElementType::Q4_K);
  EXPECT_EQ(changed.tensors()[1].name, "second");
  EXPECT_EQ(changed.tensors()[1].shape, base_.tensors()[1].shape);
  EXPECT_EQ(changed.tensors()[2].type, ElementType::F16);
  EXPECT_EQ(changed.name(), base_.name());
  EXPECT_EQ(changed.find("third"), 2u);
  EXPECT_FALSE(changed.find("fourth"));
}

TEST_F(ReplacedTensorOfAModel, GivesItsOwnRowsForThatTensorAndTheModelsForOthers) {
  const ReplacedTensor changed(base_, 1, ElementType::Q4_K, blocks_);
  const auto row = row_bytes(ElementType::Q4_K, kColumns);
  std::vector<std::byte> scratch;
  std::vector<std::byte> base_scratch;
  EXPECT_THAT(changed.stored_rows(1, {1, 2}, scratch),
              ElementsAreArray(std::span(blocks_).subspan(row, 2 * row)));
  EXPECT_THAT(changed.stored_rows(1, {3, 1}, scratch),
              ElementsAreArray(std::span(blocks_).subspan(3 * row, row)));
  EXPECT_THAT(changed.stored_rows(2, {1, 2}, scratch),
              ElementsAreArray(base_.stored_rows(2, {1, 2}, base_scratch)));
}

TEST_F(ReplacedTensorOfAModel, GivesBackOnlyRowsOfTheModel) {
  const ReplacedTensor changed(base_, 1, ElementType::Q4_K, blocks_);
  changed.discard(1, {0, 2});
  changed.discard(2, {0, 2});
  EXPECT_EQ(base_.discards(1), 0);
  EXPECT_EQ(base_.discards(2), 1);
}

}  // namespace
}  // namespace tessera
