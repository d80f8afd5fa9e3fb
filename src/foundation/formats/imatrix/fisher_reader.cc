#include "foundation/formats/imatrix/fisher_reader.h"

#include <fmt/format.h>

#include <cmath>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/codecs/codec.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::imatrix {

FisherReader::FisherReader(const std::filesystem::path& path) : source_(gguf::open_gguf(path)) {
  for (const auto& [entry, diagonal] : read_imatrix(path).fisher)
    tensors_[entry] = source_->find(diagonal.name).value();
}

std::vector<float> FisherReader::rows(const std::string& entry, RowRange rows) const {
  const std::size_t tensor = tensors_.at(entry);
  const auto& descriptor = source_->tensors()[tensor];
  std::vector<std::byte> scratch;
  const auto stored = source_->stored_rows(tensor, rows, scratch);
  std::vector<float> values(rows.count * descriptor.columns());
  codecs::codec_for(descriptor.type).decode(stored, values);
  source_->discard(tensor, rows);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) && values[i] >= 0) continue;
    throw BadFileError(
        {.file = source_->name(), .tensor = printable(descriptor.name)},
        fmt::format("the mean squared gradient at row {}, column {} is {}; it must be finite "
                    "and not negative. Make the importance matrix again",
                    rows.first + i / descriptor.columns(), i % descriptor.columns(), values[i]));
  }
  return values;
}

}  // namespace tessera::imatrix
