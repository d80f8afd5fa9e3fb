#include "foundation/kernels/matrix.h"

#include <cstring>
#include <new>

#include "foundation/kernels/bfloat16.h"

namespace tessera::kernels {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

void AlignedBytes::Free::operator()(std::byte* bytes) const { ::operator delete[](bytes, kAlignment); }

AlignedBytes::AlignedBytes(std::size_t bytes)
    : size_(bytes), data_(static_cast<std::byte*>(::operator new[](bytes, kAlignment))) {
  std::memset(data_.get(), 0, bytes);
}

Matrix::Matrix(Precision precision, std::size_t rows, std::size_t columns)
    : precision_(precision), rows_(rows), columns_(columns), data_(bytes()) {}

void Matrix::store(std::size_t row, std::size_t column, std::span<const float> values) {
  assert(column == 0 || column + values.size() <= columns_);
  assert(row * columns_ + column + values.size() <= rows_ * columns_);
  store_elements(precision_, values, this->row(row) + column * element_bytes(precision_));
}

void Matrix::load(std::size_t row, std::span<float> values) const {
  assert(row * columns_ + values.size() <= rows_ * columns_);
  load_elements(precision_, this->row(row), values);
}

void store_elements(Precision precision, std::span<const float> values, std::byte* bytes) {
  if (precision == Precision::f32) {
    std::memcpy(bytes, values.data(), values.size_bytes());
  } else {
    to_bfloat16(values, {reinterpret_cast<std::uint16_t*>(bytes), values.size()});
  }
}

void load_elements(Precision precision, const std::byte* bytes, std::span<float> values) {
  if (precision == Precision::f32) {
    std::memcpy(values.data(), bytes, values.size_bytes());
  } else {
    to_float({reinterpret_cast<const std::uint16_t*>(bytes), values.size()}, values);
  }
}

}  // namespace tessera::kernels
