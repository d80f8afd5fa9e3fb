#include "stages/rounded_to_int8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/codecs/decode_finite.h"
#include "foundation/kernels/int8_codes.h"
#include "foundation/kernels/vector_math.h"
#include "foundation/tensor/float16.h"
#include "model/architecture/kept_tensors.h"
#include "model/architecture/tensor_role.h"

namespace tessera::stages {
namespace {

constexpr float kLargestCode = 127;
/// Runtimes want scales above 0.
constexpr float kScaleOfZeros = 1;
/// Rows that are decoded at a time hold about this many weights.
constexpr std::uint64_t kPieceWeights = 64 * 1024;

/// A finite 16-bit value of 0 or more is followed by the next larger one in the order of bits.
template <class Narrow, class Widen>
float rounded_up(float value, Narrow narrow, Widen widen) {
  const std::uint16_t bits = narrow(value);
  return widen(bits) < value ? widen(static_cast<std::uint16_t>(bits + 1)) : widen(bits);
}

std::string stem_of(const std::string& weight) {
  constexpr std::string_view kSuffix = ".weight";
  return weight.substr(0, weight.size() - kSuffix.size());
}

}  // namespace

bool is_int8_linear(const TensorDescriptor& tensor) {
  return tensor.shape.size() == 2 && model::may_be_quantized(tensor) &&
         model::place_of(tensor.name).layer.has_value();
}

RoundedToInt8::RoundedToInt8(const WeightSource& base, const Int8Settings& settings)
    : base_(base), scale_type_(settings.scale_type) {
  for (std::size_t i = 0; i < base.tensors().size(); ++i) {
    const TensorDescriptor& tensor = base.tensors()[i];
    if (!is_int8_linear(tensor)) {
      add(tensor, {i});
      continue;
    }
    const std::string stem = stem_of(tensor.name);
    add({tensor.name, ElementType::I8, tensor.shape}, {i, Part::codes});
    add({stem + ".weight_scale", ElementType::F32, {tensor.rows()}}, {i, Part::weight_scales});
    if (settings.input_maxima.empty()) continue;
    const auto found = settings.input_maxima.find(tensor.name);
    if (found == settings.input_maxima.end() || found->second <= 0) {
      throw UsageError(
          fmt::format("'{}': its input was 0 on all of the calibration text, so it has no static scale; use "
                      "other text, or activations that are scaled token by token",
                      printable(tensor.name)));
    }
    add({stem + ".input_scale", ElementType::F32, {1}},
        {i, Part::input_scale, rounded(found->second / kLargestCode)});
  }
}

void RoundedToInt8::add(TensorDescriptor descriptor, Origin origin) {
  index_.insert(descriptor.name, tensors_.size());
  tensors_.push_back(std::move(descriptor));
  origins_.push_back(origin);
}

// Upwards: the largest weight then has the code 127 or less.
float RoundedToInt8::rounded(float scale) const {
  if (scale_type_ == ElementType::F16) return rounded_up(scale, half_from_float, float_from_half);
  if (scale_type_ == ElementType::BF16) return rounded_up(scale, bfloat16_from_float, float_from_bfloat16);
  return scale;
}

template <class Take>
void RoundedToInt8::for_each_row(std::size_t matrix, RowRange rows, std::vector<std::byte>& scratch,
                                 const Take& take) const {
  const auto columns = static_cast<std::size_t>(base_.tensors()[matrix].columns());
  const std::uint64_t step = std::max<std::uint64_t>(1, kPieceWeights / columns);
  std::vector<float> weights;
  for (std::uint64_t first = 0; first < rows.count; first += step) {
    const RowRange piece{rows.first + first, std::min(step, rows.count - first)};
    weights.resize(piece.count * columns);
    codecs::decode_finite(base_, matrix, piece.first * columns, base_.stored_rows(matrix, piece, scratch),
                          weights);
    for (std::uint64_t r = 0; r < piece.count; ++r) {
      const auto row = kernels::row_of(std::span<const float>(weights), r, columns);
      const float scale = kernels::symmetric_scale(row);
      take(first + r, row, scale > 0 ? rounded(scale) : kScaleOfZeros);
    }
  }
}

std::span<const std::byte> RoundedToInt8::stored_rows(std::size_t tensor, RowRange rows,
                                                      std::vector<std::byte>& scratch) const {
  const Origin& origin = origins_[tensor];
  if (origin.part == Part::original) return base_.stored_rows(origin.tensor, rows, scratch);
  if (origin.part == Part::input_scale) {
    scratch.resize(sizeof origin.input_scale);
    std::memcpy(scratch.data(), &origin.input_scale, sizeof origin.input_scale);
    return scratch;
  }
  const TensorDescriptor& matrix = base_.tensors()[origin.tensor];
  std::vector<std::byte> result;
  if (origin.part == Part::weight_scales) {
    std::vector<float> scales(matrix.rows());
    for_each_row(origin.tensor, {0, matrix.rows()}, scratch,
                 [&](std::uint64_t r, std::span<const float>, float scale) { scales[r] = scale; });
    const auto bytes = std::as_bytes(std::span(scales));
    result.assign(bytes.begin(), bytes.end());
  } else {
    result.resize(rows.count * matrix.columns());
    const std::span codes(reinterpret_cast<std::int8_t*>(result.data()), result.size());
    for_each_row(origin.tensor, rows, scratch, [&](std::uint64_t r, std::span<const float> row, float scale) {
      for (std::size_t c = 0; c < row.size(); ++c) {
        const float code = scale > 0 ? std::nearbyint(row[c] / scale) : 0;
        result[r * row.size() + c] =
            static_cast<std::byte>(static_cast<std::int8_t>(std::clamp(code, -kLargestCode, kLargestCode)));
      }
    });
  }
  scratch = std::move(result);
  return scratch;
}

void RoundedToInt8::discard(std::size_t tensor, RowRange rows) const {
  const Origin& origin = origins_[tensor];
  if (origin.part == Part::original || origin.part == Part::codes) base_.discard(origin.tensor, rows);
}

}  // namespace tessera::stages
