// Matrix products on the machine's matrix units: C = A B, or C += A B, through oneDNN.
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

/// A prepared product: generated code and scratch memory. One thread at a time.
class MatrixProduct {
 public:
  /// Throws std::bad_alloc.
  explicit MatrixProduct(const ProductShape& shape);
  ~MatrixProduct();
  MatrixProduct(MatrixProduct&&) noexcept;
  MatrixProduct& operator=(MatrixProduct&&) noexcept;

  void run(const std::byte* a, const std::byte* b, float* c);

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

}  // namespace tessera::kernels
