// Products of bytes against plain sums: the portable kernel on every SIMD target, and whatever ByteProducts
// takes on this machine (run with ONEDNN_MAX_CPU_ISA=AVX2 or AVX512_CORE_VNNI to see the others).
#include "foundation/kernels/byte_products.h"

#include "foundation/kernels/gemm.h"
#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

constexpr ByteProductShape kShapes[] = {{1, 1, 1},     {3, 5, 7},      {16, 64, 96},  {17, 33, 130},
                                        {256, 16, 64}, {16, 256, 352}, {80, 44, 1000}};

/// Bytes that include both ends, and whole rows of each of them: what saturates if anything does.
std::vector<std::int8_t> random_bytes(std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> uniform(-128, 127);
  std::vector<std::int8_t> bytes(rows * columns);
  for (auto& byte : bytes) byte = static_cast<std::int8_t>(uniform(generator));
  for (std::size_t i = 0; i < columns; ++i) {
    bytes[i] = -128;
    if (rows > 1) bytes[columns + i] = 127;
  }
  return bytes;
}

std::vector<std::int32_t> scalar_product(const ByteProductShape& shape, const std::vector<std::int8_t>& a,
                                         const std::vector<std::int8_t>& b) {
  std::vector<std::int32_t> c(shape.m * shape.n);
  for (std::size_t i = 0; i < shape.m; ++i) {
    for (std::size_t j = 0; j < shape.n; ++j) {
      for (std::size_t k = 0; k < shape.k; ++k) c[i * shape.n + j] += a[i * shape.k + k] * b[j * shape.k + k];
    }
  }
  return c;
}

class ByteProductsTest : public EveryTarget {};

TEST_P(ByteProductsTest, ThePortableKernelEqualsThePlainSums) {
  for (const auto& shape : kShapes) {
    const auto a = random_bytes(shape.m, shape.k, 1);
    const auto b = random_bytes(shape.n, shape.k, 2);
    std::vector<std::int32_t> c(shape.m * shape.n);
    multiply_bytes(a, b, shape.k, c);
    ASSERT_EQ(c, scalar_product(shape, a, b)) << shape.m << "x" << shape.n << "x" << shape.k;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ByteProductsTest, all_targets(), target_name);

TEST(ByteProducts, EqualThePlainSumsOnThisMachine) {
  ByteProducts products;
  for (const auto& shape : kShapes) {
    const auto a = random_bytes(shape.m, shape.k, 1);
    const auto b = random_bytes(shape.n, shape.k, 2);
    std::vector<std::int32_t> c(shape.m * shape.n, -1);
    products.multiply(shape, a.data(), b.data(), c.data());
    ASSERT_EQ(c, scalar_product(shape, a, b)) << shape.m << "x" << shape.n << "x" << shape.k;
  }
}

TEST(ByteProducts, TheLongestRowsDoNotOverflow) {
  constexpr std::size_t kTerms = kMostByteTerms - 1;
  const std::vector<std::int8_t> extreme(kTerms, -128);
  std::int32_t sum = 0;
  ByteProducts().multiply({1, 1, kTerms}, extreme.data(), extreme.data(), &sum);
  EXPECT_EQ(sum, static_cast<std::int32_t>(kTerms * 16384));
  multiply_bytes(extreme, extreme, kTerms, std::span(&sum, 1));
  EXPECT_EQ(sum, static_cast<std::int32_t>(kTerms * 16384));
}

}  // namespace
}  // namespace tessera::kernels
