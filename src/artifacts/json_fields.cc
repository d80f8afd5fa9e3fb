#include "artifacts/json_fields.h"

#include <fmt/format.h>

#include "foundation/base/error.h"

namespace tessera {
namespace {

using nlohmann::json;

std::string_view description_of(FieldType type) {
  switch (type) {
    case FieldType::text:
      return "a text";
    case FieldType::text_or_null:
      return "a text or null";
    case FieldType::whole:
      return "a whole number from 0 on";
    case FieldType::whole_or_null:
      return "a whole number from 0 on, or null";
    case FieldType::number_or_null:
      return "a number or null";
    case FieldType::positive:
      return "a number above 0";
    case FieldType::object:
      return "an object";
    case FieldType::object_or_null:
      return "an object or null";
    case FieldType::list:
      return "a list";
  }
  return "";
}

bool has_type(const json& value, FieldType type) {
  switch (type) {
    case FieldType::text:
      return value.is_string();
    case FieldType::text_or_null:
      return value.is_string() || value.is_null();
    case FieldType::whole:
      return value.is_number_unsigned();
    case FieldType::whole_or_null:
      return value.is_number_unsigned() || value.is_null();
    case FieldType::number_or_null:
      return value.is_number() || value.is_null();
    case FieldType::positive:
      return value.is_number() && value.get<double>() > 0;
    case FieldType::object:
      return value.is_object();
    case FieldType::object_or_null:
      return value.is_object() || value.is_null();
    case FieldType::list:
      return value.is_array();
  }
  return false;
}

class Checker {
 public:
  Checker(const JsonField& field, std::string_view kind, const std::string& file)
      : field_(field), kind_(kind), file_(file) {}

  /// `path` leads from `value`, which stands at `place` of the document, to the field.
  void check(const json& value, std::string_view path, const std::string& place) const {
    if (value.is_null()) return;  // allowed, or found by an earlier field
    const std::size_t end = path.find('.');
    const std::string_view step = path.substr(0, end);
    const bool is_list = step.ends_with("[]");
    const auto key = std::string(is_list ? step.substr(0, step.size() - 2) : step);
    const std::string here = place.empty() ? key : place + "." + key;
    if (!value.is_object()) fail(place, "an object", value);
    const auto found = value.find(key);
    if (found == value.end()) {
      if (field_.is_optional) return;
      throw BadFileError({file_}, fmt::format("no {}: it has no \"{}\"", kind_, here));
    }
    if (is_list) {
      check_items(*found, path.substr(end + 1), here);
    } else if (end != std::string_view::npos) {
      check(*found, path.substr(end + 1), here);
    } else if (!has_type(*found, field_.type) && !(field_.is_optional && found->is_null())) {
      fail(here, description_of(field_.type), *found);
    }
  }

 private:
  void check_items(const json& list, std::string_view path, const std::string& place) const {
    if (list.is_null()) return;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string here = fmt::format("{}[{}]", place, i);
      if (!list[i].is_object()) fail(here, "an object", list[i]);
      check(list[i], path, here);
    }
  }

  [[noreturn]] void fail(const std::string& place, std::string_view expected, const json& found) const {
    throw BadFileError(
        {file_}, fmt::format("no {}: \"{}\" is to be {}, not {}", kind_, place, expected, kind_of(found)));
  }

  static std::string_view kind_of(const json& value) {
    if (value.is_number()) return "this number";
    if (value.is_array()) return "a list";
    if (value.is_string()) return "a text";
    return value.type_name();
  }

  const JsonField& field_;
  std::string_view kind_;
  const std::string& file_;
};

}  // namespace

void check_fields(const nlohmann::json& document, std::span<const JsonField> fields, std::string_view kind,
                  const std::string& file) {
  if (!document.is_object()) throw BadFileError({file}, fmt::format("no {}: it is no JSON object", kind));
  for (const auto& field : fields) Checker(field, kind, file).check(document, field.path, "");
}

}  // namespace tessera
