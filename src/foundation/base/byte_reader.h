// A bounds-checked little-endian cursor over the bytes of a file.
//
// Every read is checked against the bytes that remain before anything is allocated, so a hostile count or
// length becomes a BadFileError that names the file and the offset.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "foundation/base/error.h"

namespace tessera {

static_assert(std::endian::native == std::endian::little, "Tessera's readers assume a little-endian machine");

class ByteReader {
 public:
  /// `bytes` is the whole file (or a section of it that starts at `base_offset`); `file` names it in errors.
  ByteReader(std::span<const std::byte> bytes, std::string file, std::uint64_t base_offset = 0)
      : bytes_(bytes), file_(std::move(file)), base_offset_(base_offset) {}

  std::size_t remaining() const { return bytes_.size() - position_; }
  /// Offset of the next byte from the start of the file.
  std::uint64_t offset() const { return base_offset_ + position_; }
  const std::string& file() const { return file_; }

  /// Reads one fixed-width number. Throws BadFileError when fewer bytes remain; `what` names the field.
  template <class T>
  requires std::is_arithmetic_v<T> T read(std::string_view what) {
    T value;
    const auto source = take(sizeof(T), what);
    std::memcpy(&value, source.data(), sizeof(T));
    return value;
  }

  /// Takes the next `size` bytes without copying them. Throws BadFileError when fewer remain.
  std::span<const std::byte> take(std::uint64_t size, std::string_view what);

  /// Takes `size` bytes as text.
  std::string_view take_text(std::uint64_t size, std::string_view what);

  /// Throws BadFileError unless `count` items of at least `item_bytes` bytes fit in what remains.
  void require_room(std::uint64_t count, std::uint64_t item_bytes, std::string_view what) const;

  /// A BadFileError at the current place.
  [[noreturn]] void fail(const std::string& what_is_wrong) const;

 private:
  std::span<const std::byte> bytes_;
  std::string file_;
  std::uint64_t base_offset_;
  std::size_t position_ = 0;
};

}  // namespace tessera
