// Rows of a model as floats, one at a time.
#include "foundation/codecs/row_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "foundation/base/error.h"
#include "foundation/codecs/codec.h"
#include "tensor/memory_source.h"

namespace tessera::codecs {
namespace {

constexpr std::uint64_t kRows = 4;
constexpr std::uint64_t kColumns = 64;

TEST(RowReader, GivesTheDecodedRowsOfAnyTensorInAnyOrder) {
  testing::MemorySource source;
  source.add("a", ElementType::Q8_0, {kRows, kColumns}, testing::normal_weights(kRows * kColumns, 1));
  source.add("b", ElementType::F16, {2, kRows / 2, kColumns}, testing::normal_weights(kRows * kColumns, 2));
  RowReader rows(source);
  for (const auto& [tensor, row] : {std::pair{0, 3}, {0, 3}, {1, 3}, {0, 0}, {1, 0}, {0, 3}}) {
    std::vector<std::byte> scratch;
    std::vector<float> expected(kColumns);
    const auto type = source.tensors()[tensor].type;
    codec_for(type).decode(source.stored_rows(tensor, {static_cast<std::uint64_t>(row), 1}, scratch),
                           expected);
    EXPECT_TRUE(std::ranges::equal(rows.row(tensor, row), expected)) << tensor << " " << row;
  }
}

TEST(RowReader, RefusesWhatIsNotFiniteAndStillHasTheRowBefore) {
  auto weights = testing::normal_weights(kRows * kColumns, 3);
  weights[2 * kColumns + 5] = std::numeric_limits<float>::quiet_NaN();
  testing::MemorySource source;
  source.add("a", ElementType::F32, {kRows, kColumns}, weights);
  RowReader rows(source);
  rows.row(0, 1);
  EXPECT_THROW(rows.row(0, 2), BadFileError);
  EXPECT_TRUE(std::ranges::equal(rows.row(0, 1), std::span(weights).subspan(kColumns, kColumns)));
}

}  // namespace
}  // namespace tessera::codecs
