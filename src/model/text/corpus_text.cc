#include "model/text/corpus_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "foundation/formats/json/strict_json.h"

namespace tessera::model {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTextField = "text";
constexpr std::string_view kMessagesField = "messages";
constexpr std::string_view kBetweenRecords = "\n\n";

/// A record and what errors call its place: "data.jsonl, line 7".
struct Record {
  const Json& value;
  std::string place;
};

[[noreturn]] void fail(const Record& record, const std::string& what_is_wrong) {
  throw BadFileError({.file = record.place}, what_is_wrong);
}

/// The plain role template: a line "role: content" for every message.
std::string text_of_messages(const Json& messages, std::string_view field, const Record& record) {
  std::string text;
  for (const Json& message : messages) {
    const bool is_complete = message.is_object() && message.contains("role") && message["role"].is_string() &&
                             message.contains("content") && message["content"].is_string();
    if (!is_complete) {
      fail(record,
           fmt::format("a message in \"{}\" has no role or no content that is text", printable(field)));
    }
    if (!text.empty()) text += '\n';
    text += message["role"].get_ref<const std::string&>() + ": " +
            message["content"].get_ref<const std::string&>();
  }
  return text;
}

std::string text_of(const Record& record, const std::string& wanted_field) {
  if (!record.value.is_object()) fail(record, "a JSON object with the text was expected");
  const bool has_text = record.value.contains(kTextField);
  const std::string field =
      !wanted_field.empty() ? wanted_field : std::string(has_text ? kTextField : kMessagesField);
  const auto found = record.value.find(field);
  if (found == record.value.end()) {
    fail(record,
         wanted_field.empty()
             ? R"(there is neither "text" nor "messages"; name the field that holds the text with --field)"
             : fmt::format("there is no field \"{}\"", printable(field)));
  }
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) return text_of_messages(*found, field, record);
  fail(record, fmt::format("\"{}\" is neither a string nor an array of messages", printable(field)));
}

void append_record(const std::string& record, std::string& text) {
  if (record.empty()) return;
  if (!text.empty()) text += kBetweenRecords;
  text += record;
}

std::string lower_case_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return extension;
}

}  // namespace

std::string corpus_text_of_jsonl(std::span<const std::byte> bytes, const std::string& name,
                                 const std::string& field) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::string text;
  std::size_t line_number = 0;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    ++line_number;
    const bool is_blank = all.substr(begin, end - begin).find_first_not_of(" \t\r") == std::string_view::npos;
    if (!is_blank) {
      const std::string place = fmt::format("{}, line {}", name, line_number);
      const Json value = parse_json(bytes.subspan(begin, end - begin), place, begin);
      append_record(text_of({value, place}, field), text);
    }
    begin = end + 1;
  }
  return text;
}

std::string corpus_text_of_json(std::span<const std::byte> bytes, const std::string& name,
                                const std::string& field) {
  const Json document = parse_json(bytes, name);
  if (!document.is_array()) return text_of({document, name}, field);
  std::string text;
  std::size_t number = 0;
  for (const Json& value : document) {
    append_record(text_of({value, fmt::format("{}, record {}", name, ++number)}, field), text);
  }
  return text;
}

std::string read_corpus_text(const std::filesystem::path& path, const std::string& field) {
  const MappedFile file(path);
  const std::string extension = lower_case_extension(path);
  if (extension == ".jsonl") return corpus_text_of_jsonl(file.bytes(), file.path(), field);
  if (extension == ".json") return corpus_text_of_json(file.bytes(), file.path(), field);
  std::string text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace tessera::model
