#include "option_values.h"

#include <fmt/format.h>

#include <charconv>

#include "foundation/base/error.h"

namespace tessera::cli {
namespace {

std::string weight_type_names() {
  std::string names;
  for (const auto& type : all_element_types()) {
    if (is_weight_type(type.type)) names += (names.empty() ? "" : ", ") + std::string(type.name);
  }
  return names;
}

std::uint64_t unit_of(std::string_view suffix) {
  if (suffix.empty()) return 1;
  if (suffix == "K" || suffix == "k") return 1000;
  if (suffix == "M" || suffix == "m") return 1000 * 1000;
  if (suffix == "G" || suffix == "g") return 1000 * 1000 * 1000;
  return 0;
}

}  // namespace

ElementType parse_type(const std::string& option, const std::string& text) {
  const auto type = element_type_from_name(text);
  if (!type || !is_weight_type(*type)) {
    throw UsageError(
        fmt::format("{}: unknown tensor type '{}'; choose one of {}", option, text, weight_type_names()));
  }
  return *type;
}

stages::TensorTypeOverride parse_tensor_type(const std::string& text) {
  const auto equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    throw UsageError(fmt::format("--tensor-type '{}': write PATTERN=TYPE, for example attn_v=q8_0", text));
  }
  return {text.substr(0, equals), parse_type("--tensor-type", text.substr(equals + 1))};
}

std::uint64_t parse_size(const std::string& option, const std::string& text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::uint64_t unit = unit_of(std::string_view(rest, static_cast<std::size_t>(end - rest)));
  if (error != std::errc() || unit == 0 || number == 0 || number > UINT64_MAX / unit) {
    throw UsageError(
        fmt::format("{} '{}': write a size such as 2G, 500M or a number of bytes", option, text));
  }
  return number * unit;
}

}  // namespace tessera::cli
