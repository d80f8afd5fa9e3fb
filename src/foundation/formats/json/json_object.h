// Typed, checked access to the JSON objects that describe a model: config.json, tokenizer.json and their kin.
//
// A key that is missing and a key whose value is null are the same thing: "not given". A key that is given
// with a value of the wrong type or out of range is an error that names the file, the key and the value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::json {

/// Any JSON value.
using Value = nlohmann::json;

class JsonObject {
 public:
  /// An object without keys, which errors will call `file`.
  explicit JsonObject(std::string file);
  /// Parses `text` as parse_json (strict_json.h) does. Throws BadFileError, also when it is not an object.
  JsonObject(std::string_view text, std::string file);

  const std::string& file() const { return file_; }
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  bool empty() const { return value_->empty(); }
  /// All keys, sorted.
  std::vector<std::string> keys() const;

  /// The value of `key`, or nullptr when it is not given. Valid for the life of this object and its copies.
  const Value* find(std::string_view key) const;

  // Each throws BadFileError when the key is given with a value of another type.
  std::optional<std::string> text(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  /// Any finite number.
  std::optional<double> real(std::string_view key) const;
  /// A whole number that fits.
  std::optional<std::int64_t> integer(std::string_view key) const;
  /// A number of things, 1 to 2^31 - 1.
  std::optional<std::uint32_t> count(std::string_view key) const;
  /// The object under `key`; an empty one when it is not given.
  JsonObject object(std::string_view key) const;

  /// A BadFileError about `key`.
  [[noreturn]] void fail(std::string_view key, const std::string& what_is_wrong) const;

 private:
  JsonObject(std::shared_ptr<const Value> root, const Value* value, std::string file, std::string path);

  std::shared_ptr<const Value> root_;
  const Value* value_;
  std::string file_;
  std::string path_;  ///< of this object inside the file, "" or "rope_scaling."
};

/// Reads the object in `path`. Throws BadFileError when it cannot be read or is not a JSON object.
JsonObject read_json_object(const std::filesystem::path& path);

/// The same, but an object without keys when there is no such file.
JsonObject read_json_object_if_present(const std::filesystem::path& path);

/// The bytes of a (small) text file. Throws BadFileError when it cannot be read.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace tessera::json
