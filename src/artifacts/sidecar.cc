#include "artifacts/sidecar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "artifacts/sidecar/sidecar_tensors.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/tensor/float16.h"

namespace tessera {
namespace {

std::vector<TensorDescriptor> descriptors_of(const Sidecar& sidecar) {
  std::vector<TensorDescriptor> all;
  for (const auto& tensor : sidecar.tensors) {
    for (auto& descriptor : sidecar::pair_of(tensor)) all.push_back(std::move(descriptor));
  }
  return all;
}

void require_range(const SidecarTensor& tensor) {
  for (const auto& weight : tensor.weights) {
    if (std::isfinite(float_from_half(half_from_float(weight.difference)))) continue;
    throw UsageError(fmt::format(
        "tensor '{}', row {}, column {}: {} more than the quantized weight is beyond what a sidecar "
        "can add; protect super weights by another method",
        printable(tensor.name), weight.row, weight.column, weight.difference));
  }
}

}  // namespace

std::uint64_t Sidecar::weights() const {
  std::uint64_t count = 0;
  for (const auto& tensor : tensors) count += tensor.weights.size();
  return count;
}

SidecarLines lines_of(const SidecarTensor& tensor) {
  std::vector<std::uint64_t> rows, columns;
  for (const auto& weight : tensor.weights) {
    rows.push_back(weight.row);
    columns.push_back(weight.column);
  }
  for (auto* lines : {&rows, &columns}) {
    std::ranges::sort(*lines);
    lines->erase(std::unique(lines->begin(), lines->end()), lines->end());
  }
  const bool by_rows = rows.size() <= columns.size();
  return {by_rows, std::move(by_rows ? rows : columns)};
}

std::uint64_t sidecar_line_bytes(std::uint64_t rows, std::uint64_t columns) {
  return row_bytes(ElementType::F16, rows + columns);
}

std::uint64_t sidecar_file_bytes(const Sidecar& sidecar) {
  if (sidecar.tensors.empty()) return 0;
  auto sized = sidecar;
  sized.base_hash.assign(sidecar::kHashDigits, '0');
  return gguf::plan_gguf("sidecar.gguf", sidecar::metadata_of(sized), descriptors_of(sized)).front().bytes;
}

void write_sidecar(const Sidecar& sidecar, const std::filesystem::path& path) {
  for (const auto& tensor : sidecar.tensors) require_range(tensor);
  const auto sink = gguf::create_gguf(path, sidecar::metadata_of(sidecar), descriptors_of(sidecar));
  std::size_t next = 0;
  for (const auto& tensor : sidecar.tensors) {
    for (const auto& halves : sidecar::halves_of(tensor))
      sink->write_rows(next++, 0, std::as_bytes(std::span(halves)));
  }
  sink->commit();
}

}  // namespace tessera
