#include "model/source/int8_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cassert>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera::model {
namespace {

constexpr std::string_view kWeight = "weight";

std::string stem_of(std::string_view weight_name) {
  assert(weight_name.ends_with(kWeight));
  return std::string(weight_name.substr(0, weight_name.size() - kWeight.size()));
}

/// The `count` scales in the tensor called `name`; none when there is no such tensor.
std::vector<float> read_scales(const WeightSource& source, const std::string& name, std::uint64_t count) {
  const auto found = source.find(name);
  if (!found) return {};
  const auto& tensor = source.tensors()[*found];
  const FilePlace place{.file = source.name(), .tensor = printable(name)};
  if (tensor.type != ElementType::F32 || tensor.shape != std::vector<std::uint64_t>{count}) {
    throw BadFileError(place, fmt::format("it is {} [{}], scales must be F32 [{}]", name_of(tensor.type),
                                          fmt::join(tensor.shape, ", "), count));
  }
  std::vector<std::byte> scratch;
  const auto bytes = source.stored_rows(*found, {0, 1}, scratch);
  std::vector<float> scales(static_cast<std::size_t>(count));
  std::memcpy(scales.data(), bytes.data(), bytes.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    if (std::isfinite(scales[i]) && scales[i] > 0) continue;
    throw BadFileError(
        place, fmt::format("scale {} is {}, scales are positive; the model is damaged", i, scales[i]));
  }
  return scales;
}

}  // namespace

bool is_scale_name(std::string_view tensor_name) {
  const auto dot = tensor_name.rfind('.');
  const auto last = dot == std::string_view::npos ? tensor_name : tensor_name.substr(dot + 1);
  return last == kWeightScale || last == kInputScale;
}

Int8Scales read_int8_scales(const WeightSource& source, std::size_t tensor) {
  const auto& descriptor = source.tensors()[tensor];
  if (descriptor.shape.size() != 2 || !descriptor.name.ends_with(kWeight)) {
    throw BadFileError({.file = source.name(), .tensor = printable(descriptor.name)},
                       "it is stored as I8, but it is no linear's weight");
  }
  const std::string stem = stem_of(descriptor.name);
  Int8Scales scales;
  scales.rows = read_scales(source, stem + std::string(kWeightScale), descriptor.rows());
  if (scales.rows.empty()) {
    throw BadFileError(
        {.file = source.name(), .tensor = printable(descriptor.name)},
        fmt::format("it is stored as I8, but its scales {}{} are missing", printable(stem), kWeightScale));
  }
  const auto input = read_scales(source, stem + std::string(kInputScale), 1);
  if (!input.empty()) scales.input = input.front();
  return scales;
}

DecodedInt8Weights::DecodedInt8Weights(std::unique_ptr<WeightSource> base) : DecodedInt8Weights(*base) {
  owned_ = std::move(base);
}

DecodedInt8Weights::DecodedInt8Weights(const WeightSource& base) : base_(base) {
  for (std::size_t i = 0; i < base.tensors().size(); ++i) {
    TensorDescriptor tensor = base.tensors()[i];
    if (is_scale_name(tensor.name)) continue;
    Origin origin{i};
    if (tensor.type == ElementType::I8) {
      origin.scales = read_int8_scales(base, i).rows;
      tensor.type = ElementType::F32;
    }
    index_.insert(tensor.name, tensors_.size());
    tensors_.push_back(std::move(tensor));
    origins_.push_back(std::move(origin));
  }
}

std::span<const std::byte> DecodedInt8Weights::stored_rows(std::size_t tensor, RowRange rows,
                                                           std::vector<std::byte>& scratch) const {
  const Origin& origin = origins_[tensor];
  const auto stored = base_.stored_rows(origin.tensor, rows, scratch);
  if (origin.scales.empty()) return stored;
  const auto columns = static_cast<std::size_t>(tensors_[tensor].columns());
  std::vector<std::byte> result(stored.size() * sizeof(float));
  for (std::size_t row = 0; row < rows.count; ++row) {
    const float scale = origin.scales[static_cast<std::size_t>(rows.first) + row];
    for (std::size_t i = row * columns; i < (row + 1) * columns; ++i) {
      const float weight = static_cast<float>(std::to_integer<std::int8_t>(stored[i])) * scale;
      std::memcpy(result.data() + i * sizeof(float), &weight, sizeof(float));
    }
  }
  scratch = std::move(result);
  return scratch;
}

}  // namespace tessera::model
