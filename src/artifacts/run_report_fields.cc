#include "artifacts/run_report_fields.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "foundation/base/error.h"

namespace tessera {
namespace {

using nlohmann::json;

enum class FieldType {
  text,
  text_or_null,
  whole,
  whole_or_null,
  number_or_null,
  positive,
  object,
  object_or_null,
  list
};

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

/// "a.b[].c" is c of every item of the list b of a. A field stands after those that it is in.
struct Field {
  std::string_view path;
  FieldType type;
  bool is_optional = false;
};

constexpr std::array kFields = {
    Field{"tessera_version", FieldType::text},
    Field{"created", FieldType::text},
    Field{"model", FieldType::text},
    Field{"settings", FieldType::object},
    Field{"provenance", FieldType::object},
    Field{"provenance.files", FieldType::list},
    Field{"provenance.files[].purpose", FieldType::text},
    Field{"provenance.files[].path", FieldType::text},
    Field{"provenance.files[].bytes", FieldType::whole},
    Field{"provenance.files[].xxh128", FieldType::text_or_null},
    Field{"plan", FieldType::object},
    Field{"plan.bytes", FieldType::whole},
    Field{"plan.file_bytes", FieldType::whole},
    Field{"plan.weights", FieldType::whole},
    Field{"plan.bits_per_weight", FieldType::number_or_null},
    Field{"plan.predicted_loss", FieldType::number_or_null},
    Field{"plan.tensors", FieldType::list},
    Field{"plan.tensors[].name", FieldType::text},
    Field{"plan.tensors[].role", FieldType::text},
    Field{"plan.tensors[].layer", FieldType::whole_or_null},
    Field{"plan.tensors[].from", FieldType::text},
    Field{"plan.tensors[].to", FieldType::text},
    Field{"plan.tensors[].weights", FieldType::whole},
    Field{"plan.tensors[].bytes", FieldType::whole},
    Field{"plan.tensors[].bits_per_weight", FieldType::number_or_null},
    Field{"plan.tensors[].reason", FieldType::text},
    Field{"plan.tensors[].predicted_loss", FieldType::number_or_null},
    Field{"plan.tensors[].relative_error", FieldType::number_or_null},
    Field{"plan.tensors[].weighted_relative_error", FieldType::number_or_null},
    Field{"sensitivity", FieldType::object_or_null},
    Field{"sensitivity.method", FieldType::text},
    Field{"sensitivity.tensors", FieldType::list},
    Field{"sensitivity.tensors[].name", FieldType::text},
    Field{"sensitivity.tensors[].candidates", FieldType::list},
    Field{"sensitivity.tensors[].candidates[].type", FieldType::text},
    Field{"sensitivity.tensors[].candidates[].bits_per_weight", FieldType::number_or_null},
    Field{"sensitivity.tensors[].candidates[].loss", FieldType::number_or_null},
    Field{"size_curve", FieldType::list},
    Field{"size_curve[].file_bytes", FieldType::whole},
    Field{"size_curve[].bits_per_weight", FieldType::number_or_null},
    Field{"size_curve[].predicted_loss", FieldType::number_or_null},
    Field{"uniform", FieldType::list},
    Field{"uniform[].type", FieldType::text},
    Field{"uniform[].file_bytes", FieldType::whole},
    Field{"uniform[].bits_per_weight", FieldType::number_or_null},
    Field{"uniform[].predicted_loss", FieldType::number_or_null},
    Field{"files", FieldType::list},
    Field{"files[].path", FieldType::text},
    Field{"files[].bytes", FieldType::whole},
    Field{"evaluation", FieldType::object_or_null},
    Field{"evaluation.layer_errors", FieldType::list},
    Field{"evaluation.layer_errors[].layer", FieldType::whole},
    Field{"evaluation.layer_errors[].output_relative_error", FieldType::number_or_null},
    Field{"evaluation.kl_divergence_histogram", FieldType::list, true},  // older reports have none
    Field{"evaluation.kl_divergence_histogram[].upper", FieldType::positive, true},
    Field{"evaluation.kl_divergence_histogram[].tokens", FieldType::whole, true},
    Field{"wall_seconds", FieldType::list},
    Field{"wall_seconds[].step", FieldType::text},
    Field{"wall_seconds[].seconds", FieldType::number_or_null},
};

class Checker {
 public:
  Checker(const Field& field, const std::string& file) : field_(field), file_(file) {}

  /// `path` leads from `value`, which stands at `place` of the report, to the field.
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
      throw BadFileError({file_}, fmt::format("no run report of Tessera: it has no \"{}\"", here));
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
    throw BadFileError({file_}, fmt::format("no run report of Tessera: \"{}\" is to be {}, not {}", place,
                                            expected, kind_of(found)));
  }

  static std::string_view kind_of(const json& value) {
    if (value.is_number()) return "this number";
    if (value.is_array()) return "a list";
    if (value.is_string()) return "a text";
    return value.type_name();
  }

  const Field& field_;
  const std::string& file_;
};

}  // namespace

void check_run_report(const nlohmann::json& report, const std::string& file) {
  if (!report.is_object()) throw BadFileError({file}, "no run report of Tessera: it is no JSON object");
  for (const auto& field : kFields) Checker(field, file).check(report, field.path, "");
}

}  // namespace tessera
