// What became of the super weights of one quantization: the report's `super_weight_coverage`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/super_weight.h"
#include "artifacts/weight_protection.h"

namespace tessera {

struct SuperWeightCoverage {
  ProtectionMethod method = ProtectionMethod::block;
  std::filesystem::path list = {};  ///< file that said the weights; empty: found in the run
  /// What was searched for, and found by notion; without weights.
  SuperWeightList search = {};
  std::uint64_t found = 0;  ///< places; one that both notions found counts once

  // What protects them. One place counts once.
  std::uint64_t unquantized = 0;  ///< in tensors that are stored as they were
  std::uint64_t promoted = 0;     ///< in tensors promoted for them
  std::uint64_t restored = 0;     ///< by the sidecar
  std::uint64_t in_blocks = 0;    ///< by the encoding of their blocks

  std::vector<std::string> promoted_tensors = {};
  std::filesystem::path sidecar = {};  ///< empty: there is none
  std::uint64_t sidecar_bytes = 0;
  /// Of the weights found, in the output with its sidecar: sum (weight - decoded)^2 / sum weight^2; empty
  /// where nothing was written.
  std::optional<double> relative_error = std::nullopt;

  std::uint64_t protected_places() const { return unquantized + promoted + restored + in_blocks; }
  /// Protected of found; 1 where none were found.
  double share() const {
    return found == 0 ? 1 : static_cast<double>(protected_places()) / static_cast<double>(found);
  }
};

nlohmann::json to_json(const SuperWeightCoverage& coverage);

}  // namespace tessera
