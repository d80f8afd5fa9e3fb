// The model card: the YAML between two "---" lines at the start of a folder's README.md.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::model {

/// Its keys with their values as text; a key with one value has a list of one. Nested values are left out.
class ModelCard {
 public:
  /// An empty card.
  ModelCard() = default;
  /// Reads `folder`/README.md; empty when there is none or it has no such section. Throws BadFileError when
  /// the section is not YAML.
  explicit ModelCard(const std::filesystem::path& folder);

  /// All values under `key`, empty when it is not given.
  const std::vector<std::string>& values(std::string_view key) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

}  // namespace tessera::model
