#include "foundation/formats/imatrix/imatrix_file.h"

#include <fmt/format.h>

#include <cassert>
#include <cmath>
#include <cstring>

#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/imatrix/imatrix_forms.h"

namespace tessera::imatrix {

std::vector<float> Entry::importance(std::uint64_t expert) const {
  assert(expert < experts());
  if (counts[expert] == 0) return std::vector<float>(columns, 1.0f);
  std::vector<float> mean(columns);
  const float* row = sums.data() + expert * columns;
  const auto count = static_cast<double>(counts[expert]);
  for (std::uint64_t c = 0; c < columns; ++c) mean[c] = static_cast<float>(row[c] / count);
  return mean;
}

std::optional<Entry> Entry::fitted_to(std::uint64_t tensor_experts, std::uint64_t tensor_columns) const {
  if (tensor_experts == experts() && tensor_columns == columns) return *this;
  const bool one_long_row = experts() == 1 && tensor_experts > 0 && columns % tensor_experts == 0 &&
                            columns / tensor_experts == tensor_columns;
  if (!one_long_row) return std::nullopt;
  Entry cut = *this;
  cut.columns = tensor_columns;
  cut.counts.assign(tensor_experts, counts.front());
  return cut;
}

std::vector<float> read_statistics(const StoredValues& stored) {
  std::vector<float> values(stored.bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), stored.bytes.data(), stored.bytes.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) && (values[i] >= 0 || stored.may_be_negative)) continue;
    throw BadFileError(
        {.file = std::string(stored.file),
         .tensor = printable(stored.entry),
         .offset = stored.offset + i * sizeof(float)},
        fmt::format("{} {} of this importance-matrix entry is {}; it must be finite{}. Make the "
                    "importance matrix again",
                    stored.what, i, values[i], stored.may_be_negative ? "" : " and not negative"));
  }
  return values;
}

ImatrixFile parse_imatrix(std::span<const std::byte> bytes, const std::string& file) {
  const bool is_gguf = bytes.size() >= gguf::kMagic.size() &&
                       std::memcmp(bytes.data(), gguf::kMagic.data(), gguf::kMagic.size()) == 0;
  return is_gguf ? parse_gguf(bytes, file) : parse_legacy(bytes, file);
}

ImatrixFile read_imatrix(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_imatrix(file.bytes(), file.path());
}

}  // namespace tessera::imatrix
