// Which files a result was made from, so that others can make it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tessera {

struct ProvenanceFile {
  std::string purpose;  ///< "model", "imatrix", "calibration text", "evaluation text", "config" or "plan"
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::string xxh128 = {};  ///< XXH3-128 of the content, 32 hexadecimal digits

  bool operator==(const ProvenanceFile&) const = default;
};

/// With the paths as given, or, for files that are published, with their names alone.
enum class PathForm { as_given, name_only };

nlohmann::json to_json(const std::vector<ProvenanceFile>& files, PathForm form);

}  // namespace tessera
