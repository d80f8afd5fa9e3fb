#include "model/source/model_card.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>

#include "foundation/base/error.h"
#include "foundation/formats/json/json_object.h"

namespace tessera::model {
namespace {

/// The lines between the first and the second "---"; empty when the text does not start with one.
std::string front_matter(const std::string& text) {
  constexpr std::string_view kFence = "---";
  std::istringstream lines(text);
  std::string yaml;
  std::string line;
  const auto next = [&] {
    if (!std::getline(lines, line)) return false;
    if (line.ends_with('\r')) line.pop_back();
    return true;
  };
  if (!next() || line != kFence) return {};
  while (next() && line != kFence) yaml += line + '\n';
  std::ranges::replace(yaml, '\t', ' ');  // published cards indent with tabs, which YAML forbids
  return yaml;
}

std::vector<std::string> texts_of(const YAML::Node& node) {
  std::vector<std::string> texts;
  if (node.IsScalar()) texts.push_back(node.Scalar());
  if (!node.IsSequence()) return texts;
  for (const YAML::Node& item : node) {
    if (item.IsScalar()) texts.push_back(item.Scalar());
  }
  return texts;
}

}  // namespace

ModelCard::ModelCard(const std::filesystem::path& folder) {
  const auto path = folder / "README.md";
  if (!std::filesystem::is_regular_file(path)) return;
  try {
    const YAML::Node card = YAML::Load(front_matter(json::read_text_file(path)));
    if (!card.IsMap()) return;
    for (const auto& entry : card) {
      if (entry.first.IsScalar()) values_[entry.first.Scalar()] = texts_of(entry.second);
    }
  } catch (const YAML::Exception& error) {
    throw BadFileError({.file = path.string()}, fmt::format("the model card is not YAML: {}", error.what()));
  }
}

const std::vector<std::string>& ModelCard::values(std::string_view key) const {
  static const std::vector<std::string> none;
  const auto found = values_.find(key);
  return found == values_.end() ? none : found->second;
}

}  // namespace tessera::model
