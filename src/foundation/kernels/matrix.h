// A dense row-major matrix of float32 or bfloat16, the operand of matrix products.
//
// bfloat16 is the upper half of a float32: the matrix units multiply it and add in float32. Code above works
// on rows of float32 and does not ask which of the two a matrix holds.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace tessera::kernels {

/// The element type of the operands of matrix products; results are float32 either way.
enum class Precision { f32, bf16 };

inline std::size_t element_bytes(Precision precision) { return precision == Precision::f32 ? 4 : 2; }

/// `bytes` zeros, aligned to 64 bytes.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  /// Throws std::bad_alloc.
  explicit AlignedBytes(std::size_t bytes);

  std::size_t size() const { return size_; }
  const std::byte* data() const { return data_.get(); }
  std::byte* data() { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  std::size_t size_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
};

/// [rows, columns], aligned to 64 bytes. Elements start as zeros.
class Matrix {
 public:
  Matrix() = default;
  /// Throws std::bad_alloc.
  Matrix(Precision precision, std::size_t rows, std::size_t columns);

  Precision precision() const { return precision_; }
  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t bytes() const { return rows_ * columns_ * element_bytes(precision_); }

  const std::byte* data() const { return data_.data(); }
  std::byte* data() { return data_.data(); }
  /// Where row `row` starts.
  const std::byte* row(std::size_t row) const { return data() + row * columns_ * element_bytes(precision_); }
  std::byte* row(std::size_t row) { return data() + row * columns_ * element_bytes(precision_); }

  /// Replaces the elements from row `row` on, starting at `column`, by `values`, rounded to nearest even.
  /// More than one row only from column 0 on.
  void store(std::size_t row, std::size_t column, std::span<const float> values);
  void store(std::size_t row, std::span<const float> values) { store(row, 0, values); }
  /// The elements from row `row` on as float32.
  void load(std::size_t row, std::span<float> values) const;

 private:
  Precision precision_ = Precision::f32;
  std::size_t rows_ = 0;
  std::size_t columns_ = 0;
  AlignedBytes data_;
};

/// Elements at `bytes` <- `values`, and back: the conversions behind Matrix, for rows that live elsewhere.
void store_elements(Precision precision, std::span<const float> values, std::byte* bytes);
void load_elements(Precision precision, const std::byte* bytes, std::span<float> values);

}  // namespace tessera::kernels
