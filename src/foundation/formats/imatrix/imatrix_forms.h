// What the readers of the two forms share with each other and with read_imatrix.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::imatrix {

/// Where the float32 values of an entry stand in a file.
struct StoredValues {
  std::span<const std::byte> bytes;
  std::uint64_t offset = 0;  ///< from the start of the file
  std::string_view file;
  std::string_view entry;
  std::string_view what;  ///< "sum", "count"
  bool may_be_negative = false;
};

/// Decodes float32 values. Throws BadFileError at the first one that is not finite, or is negative where
/// that cannot be.
std::vector<float> read_statistics(const StoredValues& stored);

ImatrixFile parse_legacy(std::span<const std::byte> bytes, const std::string& file);
ImatrixFile parse_gguf(std::span<const std::byte> bytes, const std::string& file);

}  // namespace tessera::imatrix
