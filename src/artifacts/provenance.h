// Which files a result was made from, so that others can make it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tessera {

struct ProvenanceFile {
  /// "model", "imatrix", "calibration text", "evaluation text", "config", "plan" or "super weights"
  std::string purpose;
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  /// XXH3-128 of the content, 32 hexadecimal digits; kNotHashed where nobody has read it
  std::string xxh128 = {};

  bool operator==(const ProvenanceFile&) const = default;
};

/// As long as a hash, so that what is planned with it has the right size.
inline constexpr const char* kNotHashed = "--------------------------------";

/// With the paths as given, or, for files that are published, with their names alone.
enum class PathForm { as_given, name_only };

nlohmann::json to_json(const std::vector<ProvenanceFile>& files, PathForm form);

}  // namespace tessera
