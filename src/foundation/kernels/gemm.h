// Matrix products on the machine's matrix units: C = A B, or C += A B, through oneDNN.
//
// Products of bytes are exact. oneDNN's are where there are VNNI or AMX; without, its sums of pairs saturate
// at 16 bits, and multiply_bytes (byte_products.h) takes their place.
//
// A product runs on the calling thread alone and adds up in an order that its shape alone decides, so a
// computation divided into products of fixed shapes gives the same bits for any number of threads. Dividing
// tokens into blocks of a few hundred rows, each block on one thread, is as fast as handing oneDNN the whole
// matrix (bench/forward_benchmark.cc measures both).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <tuple>

#include "foundation/kernels/matrix.h"

namespace tessera::kernels {

/// bf16 where the processor multiplies it in hardware (AVX512-BF16, AMX), else f32. Respects
/// ONEDNN_MAX_CPU_ISA.
Precision fastest_precision();

/// Those that this machine has products of: f32, and bf16 where there is AVX-512.
std::span<const Precision> available_precisions();

/// `wanted`, or the fastest when nothing is. Throws UsageError where it is not available.
Precision resolve_precision(std::optional<Precision> wanted);

/// C [m, n] = A [m, k] B [k, n], all dense. A transposed operand is stored the other way round: A as [k, m],
/// B as [n, k] (a linear's weight, [out, in], is a transposed B).
struct ProductShape {
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;
  Precision precision = Precision::f32;  ///< of A and B; C is float32
  bool a_transposed = false;
  bool b_transposed = false;
  bool accumulate = false;  ///< C += A B

  // clang-tidy 14 takes the comparison for one with 0. NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const ProductShape&) const = default;
};

/// C [m, n] = A [m, k] B^T of signed bytes, in int32, all dense; B is stored as [n, k].
struct ByteProductShape {
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;  ///< below kMostByteTerms

  // NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const ByteProductShape&) const = default;
};

/// So many products of two bytes may overflow an int32, fewer never do: (-128)^2 * 2^17 = 2^31.
inline constexpr std::size_t kMostByteTerms = std::size_t{1} << 17;

/// A prepared product: generated code and scratch memory. One thread at a time.
class MatrixProduct {
 public:
  /// Throws std::bad_alloc.
  explicit MatrixProduct(const ProductShape& shape);
  explicit MatrixProduct(const ByteProductShape& shape);
  ~MatrixProduct();
  MatrixProduct(MatrixProduct&&) noexcept;
  MatrixProduct& operator=(MatrixProduct&&) noexcept;

  /// Of the kind of shape that was prepared.
  void run(const std::byte* a, const std::byte* b, float* c);
  void run(const std::int8_t* a, const std::int8_t* b, std::int32_t* c);

 private:
  struct Prepared;
  std::unique_ptr<Prepared> prepared_;
};

/// The products that one worker has prepared, by shape: preparing takes longer than many a product. Each
/// worker owns one.
class MatrixProducts {
 public:
  void multiply(const ProductShape& shape, const std::byte* a, const std::byte* b, float* c);

 private:
  std::map<ProductShape, MatrixProduct> prepared_;
};

/// The products of bytes that one worker has prepared, by shape. Each worker owns one.
class ByteProducts {
 public:
  void multiply(const ByteProductShape& shape, const std::int8_t* a, const std::int8_t* b, std::int32_t* c);

 private:
  std::map<ByteProductShape, MatrixProduct> prepared_;
};

}  // namespace tessera::kernels
