#include "foundation/kernels/transpose.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class TransposeTest : public EveryTarget {};

void expect_transposed(const Matrix& matrix, std::size_t rows, std::size_t first_column,
                       std::size_t columns) {
  const std::size_t element = element_bytes(matrix.precision());
  std::vector<std::byte> result(rows * columns * element + 1, std::byte{7});
  transpose_columns(matrix, rows, first_column, std::span(result).first(result.size() - 1));
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      const auto* expected = matrix.row(row) + (first_column + column) * element;
      ASSERT_EQ(std::memcmp(result.data() + (column * rows + row) * element, expected, element), 0)
          << "row " << row << ", column " << column << " of " << rows << "x" << columns;
    }
  }
  EXPECT_EQ(result.back(), std::byte{7});
}

TEST_P(TransposeTest, EveryElementIsWhereItsRowAndColumnSay) {
  for (const auto precision : {Precision::f32, Precision::bf16}) {
    for (const std::size_t rows : {1, 7, 8, 33, 64, 77}) {
      for (const std::size_t columns : {1, 5, 8, 32, 70}) {
        Matrix matrix(precision, rows + 2, columns + 9);
        matrix.store(0, random_values((rows + 2) * (columns + 9), 1));
        expect_transposed(matrix, rows, 0, columns);
        expect_transposed(matrix, rows, 9, columns);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, TransposeTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
