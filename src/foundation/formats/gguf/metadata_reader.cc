#include "foundation/formats/gguf/metadata_reader.h"

#include <fmt/format.h>

#include <concepts>
#include <cstring>
#include <unordered_set>

#include "foundation/base/printable.h"

namespace tessera::gguf {
namespace {

constexpr std::uint64_t kMaxArrayCount = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxStringBytes = std::uint64_t{1} << 30;
constexpr std::uint32_t kArrayType = 9;
constexpr std::uint32_t kValueTypes = std::variant_size_v<Value>;

[[noreturn]] void fail_at(const ByteReader& reader, std::uint64_t offset, const std::string& message) {
  throw BadFileError({.file = reader.file(), .offset = offset}, message);
}

}  // namespace

std::string_view read_string(ByteReader& reader, std::string_view what) {
  const std::uint64_t start = reader.offset();
  const auto size = reader.read<std::uint64_t>(what);
  if (size > kMaxStringBytes)
    fail_at(reader, start, fmt::format("{} claims a string of {} bytes", what, size));
  return reader.take_text(size, what);
}

namespace {

template <class T>
T read_item(ByteReader& reader, std::string_view what) {
  if constexpr (std::same_as<T, std::string>) {
    return std::string(read_string(reader, what));
  } else if constexpr (std::same_as<T, Boolean>) {
    return Boolean{reader.read<std::uint8_t>(what) != 0};
  } else {
    return reader.read<T>(what);
  }
}

template <class T>
std::vector<T> read_items(ByteReader& reader, std::uint64_t count, std::string_view what) {
  constexpr bool kIsText = std::same_as<T, std::string>;
  reader.require_room(count, kIsText ? sizeof(std::uint64_t) : sizeof(T), what);
  std::vector<T> items;
  if constexpr (kIsText || std::same_as<T, Boolean>) {
    items.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) items.push_back(read_item<T>(reader, what));
  } else {
    const auto bytes = reader.take(count * sizeof(T), what);
    items.resize(count);
    if (count > 0) std::memcpy(items.data(), bytes.data(), bytes.size());
  }
  return items;
}

/// Calls `use` with the C++ type of elements of value type `id`, which must not be the array type.
template <class Use>
Value with_item_type(std::uint32_t id, const Use& use) {
  switch (id) {
    case 0:
      return use.template operator()<std::uint8_t>();
    case 1:
      return use.template operator()<std::int8_t>();
    case 2:
      return use.template operator()<std::uint16_t>();
    case 3:
      return use.template operator()<std::int16_t>();
    case 4:
      return use.template operator()<std::uint32_t>();
    case 5:
      return use.template operator()<std::int32_t>();
    case 6:
      return use.template operator()<float>();
    case 7:
      return use.template operator()<Boolean>();
    case 8:
      return use.template operator()<std::string>();
    case 10:
      return use.template operator()<std::uint64_t>();
    case 11:
      return use.template operator()<std::int64_t>();
    default:
      return use.template operator()<double>();
  }
}

Value read_array(ByteReader& reader, std::string_view what) {
  const std::uint64_t type_offset = reader.offset();
  const auto type = reader.read<std::uint32_t>(what);
  if (type == kArrayType)
    fail_at(reader, type_offset, fmt::format("{} is an array of arrays, which is not supported", what));
  if (type >= kValueTypes)
    fail_at(reader, type_offset, fmt::format("{} is an array of the unknown value type {}", what, type));
  const std::uint64_t count_offset = reader.offset();
  const auto count = reader.read<std::uint64_t>(what);
  if (count > kMaxArrayCount) {
    fail_at(reader, count_offset,
            fmt::format("{} claims {} array elements; at most {} are allowed", what, count, kMaxArrayCount));
  }
  return with_item_type(type, [&]<class T>() { return Value(Array(read_items<T>(reader, count, what))); });
}

Value read_value(ByteReader& reader, std::string_view what) {
  const std::uint64_t type_offset = reader.offset();
  const auto type = reader.read<std::uint32_t>(what);
  if (type >= kValueTypes)
    fail_at(reader, type_offset, fmt::format("{} has the unknown value type {}", what, type));
  if (type == kArrayType) return read_array(reader, what);
  return with_item_type(type, [&]<class T>() {
    if constexpr (std::same_as<T, Boolean>) {
      return Value(read_item<Boolean>(reader, what).value != 0);
    } else {
      return Value(read_item<T>(reader, what));
    }
  });
}

}  // namespace

Metadata read_metadata(ByteReader& reader, std::uint64_t count) {
  std::vector<Metadata::Entry> entries;
  entries.reserve(count);
  std::unordered_set<std::string_view> seen;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t start = reader.offset();
    const std::string_view key = read_string(reader, fmt::format("the name of metadata key {}", i));
    if (key.empty()) fail_at(reader, start, fmt::format("metadata key {} has an empty name", i));
    const std::string what = fmt::format("metadata key '{}'", printable(key));
    if (!seen.insert(key).second) fail_at(reader, start, what + " occurs twice");
    Value value = read_value(reader, what);
    entries.emplace_back(key, std::move(value));
  }
  return Metadata(std::move(entries));
}

}  // namespace tessera::gguf
