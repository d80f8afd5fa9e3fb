#include "foundation/base/byte_reader.h"

#include <fmt/format.h>

namespace tessera {

std::span<const std::byte> ByteReader::take(std::uint64_t size, std::string_view what) {
  if (size > remaining()) {
    fail(fmt::format("{} needs {} bytes but only {} are left; the file is truncated or damaged", what, size,
                     remaining()));
  }
  const auto result = bytes_.subspan(position_, size);
  position_ += size;
  return result;
}

std::string_view ByteReader::take_text(std::uint64_t size, std::string_view what) {
  const auto bytes = take(size, what);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void ByteReader::require_room(std::uint64_t count, std::uint64_t item_bytes, std::string_view what) const {
  if (count > remaining() / item_bytes) {
    fail(fmt::format("{} {} do not fit in the {} bytes left; the file is truncated or damaged", count, what,
                     remaining()));
  }
}

void ByteReader::fail(const std::string& what_is_wrong) const {
  throw BadFileError({.file = file_, .offset = offset()}, what_is_wrong);
}

}  // namespace tessera
