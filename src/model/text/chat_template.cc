#include "model/text/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace tessera::model {
namespace {

namespace fs = std::filesystem;

struct NamedTemplate {
  std::string name;
  std::string text;
};

constexpr std::string_view kDefault = "default";

/// The templates under `key`: one text, or a list of {"name": ..., "template": ...}.
std::vector<NamedTemplate> templates_of(const json::JsonObject& object, std::string_view key) {
  const json::Value* value = object.find(key);
  if (value == nullptr) return {};
  if (value->is_string()) return {{std::string(kDefault), value->get<std::string>()}};
  if (!value->is_array()) object.fail(key, "is neither a text nor a list of named texts");
  std::vector<NamedTemplate> templates;
  for (const json::Value& item : *value) {
    const bool complete = item.is_object() && item.contains("name") && item["name"].is_string() &&
                          item.contains("template") && item["template"].is_string();
    if (!complete) object.fail(key, fmt::format("entry {} has no name or no template", templates.size()));
    templates.push_back({item["name"].get<std::string>(), item["template"].get<std::string>()});
  }
  return templates;
}

std::vector<NamedTemplate> templates_of_files(const fs::path& folder) {
  const fs::path file = folder / "chat_template.jinja";
  if (!fs::is_regular_file(file)) {
    return templates_of(json::read_json_object_if_present(folder / "chat_template.json"), "chat_template");
  }
  std::vector<NamedTemplate> templates{{std::string(kDefault), json::read_text_file(file)}};
  const fs::path more = folder / "additional_chat_templates";
  if (!fs::is_directory(more)) return templates;
  for (const auto& entry : fs::directory_iterator(more)) {
    if (entry.path().extension() != ".jinja") continue;
    templates.push_back({entry.path().stem().string(), json::read_text_file(entry.path())});
  }
  std::ranges::sort(templates.begin() + 1, templates.end(), {}, &NamedTemplate::name);
  return templates;
}

/// A name as part of a metadata key: letters and digits, all else an underscore.
std::string key_part(std::string name) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::ranges::replace_if(
      name, [&](char c) { return !is_plain(c); }, '_');
  return name;
}

}  // namespace

void add_chat_template_metadata(const fs::path& folder, const json::JsonObject& tokenizer_config,
                                gguf::Metadata& metadata) {
  auto templates = templates_of(tokenizer_config, "chat_template");
  if (templates.empty()) templates = templates_of_files(folder);
  std::vector<std::string> names;
  for (NamedTemplate& item : templates) {
    item.name = key_part(std::move(item.name));
    if (item.name.empty() || item.name == kDefault) continue;
    metadata.set("tokenizer.chat_template." + item.name, item.text);
    names.push_back(item.name);
  }
  if (!names.empty()) metadata.set("tokenizer.chat_templates", gguf::Array(std::move(names)));
  const auto standard = std::ranges::find(templates, kDefault, &NamedTemplate::name);
  if (standard != templates.end()) metadata.set("tokenizer.chat_template", standard->text);
}

json::Value chat_template_config(const gguf::Metadata& metadata) {
  const auto standard = metadata.text("tokenizer.chat_template");
  const auto* names = metadata.texts("tokenizer.chat_templates");
  if (names == nullptr) return standard ? json::Value(*standard) : json::Value();
  json::Value templates = json::Value::array();
  if (standard) templates.push_back({{"name", kDefault}, {"template", *standard}});
  for (const std::string& name : *names) {
    if (const auto text = metadata.text("tokenizer.chat_template." + name))
      templates.push_back({{"name", name}, {"template", *text}});
  }
  return templates;
}

}  // namespace tessera::model
