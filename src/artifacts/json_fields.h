// Fields that a JSON document must have, as a table: path and type of each. Further fields are allowed
// anywhere.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

enum class FieldType {
  text,
  text_or_null,
  whole,  ///< a whole number from 0 on
  whole_or_null,
  number_or_null,
  positive,  ///< a number above 0
  object,
  object_or_null,
  list
};

/// "a.b[].c" is c of every item of the list b of a. A field stands after those that it is in.
struct JsonField {
  std::string_view path;
  FieldType type;
  bool is_optional = false;
};

/// Throws BadFileError, naming `file` and the first of `fields` that is missing or of the wrong type with its
/// place, e.g. plan.tensors[3].name. `kind` says what the document is to be, e.g. "run report of Tessera".
void check_fields(const nlohmann::json& document, std::span<const JsonField> fields, std::string_view kind,
                  const std::string& file);

}  // namespace tessera
