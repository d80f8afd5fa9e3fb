// The key/value metadata of a GGUF file, in file order.
//
// A value is one of the thirteen GGUF value types; the index of the variant alternative is the GGUF type id
// (shared/formats/GGUF.md section 1). Arrays hold scalars or strings; arrays of arrays do not exist.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tessera::gguf {

/// vector<bool> is avoided: booleans of an array are stored as one byte each.
struct Boolean {
  std::uint8_t value = 0;
  bool operator==(const Boolean&) const = default;
};

using Array = std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                           std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                           std::vector<float>, std::vector<Boolean>, std::vector<std::string>, std::monostate,
                           std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;

using Value =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float,
                 bool, std::string, Array, std::uint64_t, std::int64_t, double>;

class Metadata {
 public:
  using Entry = std::pair<std::string, Value>;

  Metadata() = default;
  /// Takes over entries whose keys differ from each other.
  explicit Metadata(std::vector<Entry> entries) : entries_(std::move(entries)) {}

  const std::vector<Entry>& entries() const { return entries_; }
  const Value* find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }

  /// Replaces the value in place, or appends the key.
  void set(std::string_view key, Value value);
  void erase(std::string_view key);

  /// The value as text, or empty when the key is missing or of another type.
  std::optional<std::string> text(std::string_view key) const;
  /// Any non-negative integer type, widened; empty when missing, negative or of another type.
  std::optional<std::uint64_t> unsigned_integer(std::string_view key) const;
  /// float32 or float64.
  std::optional<double> real(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  /// The strings of a string array, or nullptr.
  const std::vector<std::string>* texts(std::string_view key) const;

 private:
  std::vector<Entry> entries_;
};

}  // namespace tessera::gguf
