#include "artifacts/sidecar/sidecar_tensors.h"

#include <algorithm>

#include "foundation/tensor/float16.h"

namespace tessera::sidecar {

gguf::Metadata metadata_of(const Sidecar& sidecar) {
  std::vector<std::string> names;
  std::vector<std::uint32_t> tensors, rows, columns;
  std::vector<float> values;
  for (const auto& tensor : sidecar.tensors) {
    for (const auto& weight : tensor.weights) {
      tensors.push_back(static_cast<std::uint32_t>(names.size()));
      rows.push_back(static_cast<std::uint32_t>(weight.row));
      columns.push_back(static_cast<std::uint32_t>(weight.column));
      values.push_back(weight.value);
    }
    names.push_back(tensor.name);
  }
  gguf::Metadata metadata;
  metadata.set("general.type", std::string("adapter"));
  metadata.set("general.architecture", sidecar.architecture);
  metadata.set("adapter.type", std::string("lora"));
  metadata.set("adapter.lora.alpha", 1.0f);
  metadata.set(kVersionKey, kVersion);
  metadata.set(kBaseHashKey, sidecar.base_hash);
  metadata.set(kTensorsKey, gguf::Array(std::move(names)));
  metadata.set(kTensorKey, gguf::Array(std::move(tensors)));
  metadata.set(kRowKey, gguf::Array(std::move(rows)));
  metadata.set(kColumnKey, gguf::Array(std::move(columns)));
  metadata.set(kValueKey, gguf::Array(std::move(values)));
  return metadata;
}

std::array<TensorDescriptor, 2> pair_of(const SidecarTensor& tensor) {
  const std::uint64_t rank = lines_of(tensor).lines.size();
  return {TensorDescriptor{tensor.name + ".lora_a", ElementType::F16, {rank, tensor.columns}},
          TensorDescriptor{tensor.name + ".lora_b", ElementType::F16, {tensor.rows, rank}}};
}

std::array<std::vector<std::uint16_t>, 2> halves_of(const SidecarTensor& tensor) {
  const auto [by_rows, lines] = lines_of(tensor);
  const std::size_t rank = lines.size();
  const std::uint16_t pick = half_from_float(static_cast<float>(rank));
  std::vector<std::uint16_t> a(rank * tensor.columns), b(tensor.rows * rank);
  for (std::size_t k = 0; k < rank; ++k) {
    if (by_rows) {
      b[lines[k] * rank + k] = pick;
    } else {
      a[k * tensor.columns + lines[k]] = pick;
    }
  }
  for (const auto& weight : tensor.weights) {
    const auto line = by_rows ? weight.row : weight.column;
    const auto k = static_cast<std::size_t>(std::ranges::lower_bound(lines, line) - lines.begin());
    auto& half = by_rows ? a[k * tensor.columns + weight.column] : b[weight.row * rank + k];
    half = half_from_float(weight.difference);
  }
  return {std::move(a), std::move(b)};
}

}  // namespace tessera::sidecar
