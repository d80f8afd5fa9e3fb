// A model with some scalars changed differs from its base there and nowhere else.
#include "stages/edited_weights.h"

#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

constexpr std::uint64_t kRows = 6;
constexpr std::uint64_t kColumns = 64;

class Edited : public ::testing::Test {
 protected:
  Edited() {
    base.add("blk.0.ffn_norm.weight", ElementType::F32, {kColumns}, testing::normal_weights(kColumns, 1));
    base.add("blk.0.ffn_down_exps.weight", ElementType::Q8_0, {2, kRows / 2, kColumns},
             testing::normal_weights(kRows * kColumns, 2));
    base.add("output.weight", ElementType::F16, {kRows, kColumns},
             testing::normal_weights(kRows * kColumns, 3));
  }

  static std::vector<float> rows_of(const WeightSource& source, std::size_t tensor, RowRange rows) {
    std::vector<std::byte> scratch;
    std::vector<float> values(rows.count * source.tensors()[tensor].columns());
    codecs::codec_for(source.tensors()[tensor].type)
        .decode(source.stored_rows(tensor, rows, scratch), values);
    return values;
  }

  testing::MemorySource base;
};

TEST_F(Edited, HasTheNewValuesAndAllOthersOfItsBase) {
  const EditedWeights edited(base, {{1, 4, 63, 7.25f}, {1, 0, 0, 0}, {1, 4, 5, -1}});
  auto expected = rows_of(base, 1, {0, kRows});
  expected[0] = 0;
  expected[4 * kColumns + 63] = 7.25f;
  expected[4 * kColumns + 5] = -1;
  EXPECT_EQ(rows_of(edited, 1, {0, kRows}), expected);
  EXPECT_EQ(rows_of(edited, 1, {4, 1}),
            std::vector(expected.begin() + 4 * kColumns, expected.begin() + 5 * kColumns));
  EXPECT_EQ(rows_of(edited, 1, {5, 1}), rows_of(base, 1, {5, 1}));
}

TEST_F(Edited, ShowsEditedTensorsAsF32AndOthersAsTheyAre) {
  const EditedWeights edited(base, {{1, 4, 63, 7.25f}});
  EXPECT_EQ(edited.tensors()[0], base.tensors()[0]);
  EXPECT_EQ(edited.tensors()[2], base.tensors()[2]);
  EXPECT_EQ(edited.tensors()[1].type, ElementType::F32);
  EXPECT_EQ(edited.tensors()[1].shape, base.tensors()[1].shape);
  std::vector<std::byte> scratch;
  EXPECT_EQ(edited.stored_rows(2, {1, 2}, scratch).data(), base.stored_rows(2, {1, 2}, scratch).data());
  EXPECT_EQ(edited.find("output.weight"), 2u);
}

TEST_F(Edited, TakesTheLaterOfTwoEditsOfOnePlace) {
  const EditedWeights edited(base, {{2, 1, 1, 3}, {2, 0, 1, 5}, {2, 1, 1, 4}});
  EXPECT_EQ(rows_of(edited, 2, {1, 1})[1], 4);
}

TEST_F(Edited, WithoutEditsIsItsBase) {
  const EditedWeights edited(base, {});
  for (std::size_t i = 0; i < base.tensors().size(); ++i) EXPECT_EQ(edited.tensors()[i], base.tensors()[i]);
}

}  // namespace
}  // namespace tessera::stages
