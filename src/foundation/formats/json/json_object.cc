#include "foundation/formats/json/json_object.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <span>

#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "foundation/formats/json/strict_json.h"

namespace tessera::json {
namespace {

using nlohmann::json;

/// The value as it stands in the file, cut to what fits in a message.
std::string shown(const json& value) {
  if (value.is_structured()) return value.is_array() ? "an array" : "an object";
  return printable(value.dump());
}

}  // namespace

JsonObject::JsonObject(std::string file)
    : root_(std::make_shared<const json>(json::object())), value_(root_.get()), file_(std::move(file)) {}

JsonObject::JsonObject(std::string_view text, std::string file)
    : root_(std::make_shared<const json>(parse_json(std::as_bytes(std::span(text)), file))),
      value_(root_.get()),
      file_(std::move(file)) {
  if (!value_->is_object()) throw BadFileError({.file = file_}, "a JSON object was expected");
}

JsonObject::JsonObject(std::shared_ptr<const json> root, const json* value, std::string file,
                       std::string path)
    : root_(std::move(root)), value_(value), file_(std::move(file)), path_(std::move(path)) {}

const json* JsonObject::find(std::string_view key) const {
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

std::vector<std::string> JsonObject::keys() const {
  std::vector<std::string> keys;
  for (const auto& item : value_->items()) keys.push_back(item.key());
  return keys;
}

void JsonObject::fail(std::string_view key, const std::string& what_is_wrong) const {
  throw BadFileError({.file = file_},
                     fmt::format("\"{}\" {}", printable(path_ + std::string(key)), what_is_wrong));
}

std::optional<std::string> JsonObject::text(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail(key, fmt::format("is {}, a string was expected", shown(*value)));
  return value->get<std::string>();
}

std::optional<bool> JsonObject::boolean(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) fail(key, fmt::format("is {}, true or false was expected", shown(*value)));
  return value->get<bool>();
}

std::optional<double> JsonObject::real(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    fail(key, fmt::format("is {}, a number was expected", shown(*value)));
  }
  return value->get<double>();
}

std::optional<std::int64_t> JsonObject::integer(std::string_view key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  constexpr auto kLargest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const bool fits =
      value->is_number_integer() && (!value->is_number_unsigned() || value->get<std::uint64_t>() <= kLargest);
  if (!fits) fail(key, fmt::format("is {}, a whole number was expected", shown(*value)));
  return value->get<std::int64_t>();
}

std::optional<std::uint32_t> JsonObject::count(std::string_view key) const {
  const auto number = integer(key);
  if (!number) return std::nullopt;
  if (*number < 1 || *number > std::numeric_limits<std::int32_t>::max()) {
    fail(key, fmt::format("is {}, a number from 1 to 2147483647 was expected", *number));
  }
  return static_cast<std::uint32_t>(*number);
}

JsonObject JsonObject::object(std::string_view key) const {
  const json* value = find(key);
  const std::string path = fmt::format("{}{}.", path_, key);
  if (value == nullptr) {
    const auto nothing = std::make_shared<const json>(json::object());
    return {nothing, nothing.get(), file_, path};
  }
  if (!value->is_object()) fail(key, fmt::format("is {}, an object was expected", shown(*value)));
  return {root_, value, file_, path};
}

std::string read_text_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

JsonObject read_json_object(const std::filesystem::path& path) {
  return {read_text_file(path), path.string()};
}

JsonObject read_json_object_if_present(const std::filesystem::path& path) {
  return std::filesystem::is_regular_file(path) ? read_json_object(path) : JsonObject(path.string());
}

}  // namespace tessera::json
