// Lists of super weights as files.
//
// JSON:
//
//   {"super_weights_version": 1,
//    "tessera_version": "0.1.0",
//    "model_hash": "32 hexadecimal digits" | null,
//    "coverage": {"asked": 1e-4, "considered": N, "score": "activation", "threshold": x, "fence": x | null,
//                 "found": n} | null,
//    "activation_spikes": {"input_ratio": x, "output_ratio": x, "tokens": n, "found": n} | null,
//    "weights": [{"tensor": "blk.1.ffn_down.weight", "row": r, "column": c, "value": x, "score": x,
//                 "notion": "coverage" | "activation_spike", "block_ratio": x | null}]}
//
// Members are those of super_weight.h. `coverage`, `activation_spikes`, `model_hash` and `block_ratio` may be
// missing; further members are passed over. A weight stands once for each notion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "artifacts/super_weight.h"
#include "foundation/tensor/weight_source.h"

namespace tessera {

nlohmann::json to_json(const SuperWeightList& list);

/// Throws BadFileError naming `file` and the member: no JSON, another version, members that are missing, of
/// another type or out of range, a weight that stands twice.
SuperWeightList parse_super_weights(std::span<const std::byte> bytes, const std::string& file);
SuperWeightList read_super_weights(const std::filesystem::path& path);

/// Tensors of the list's weights, as numbered in the source, in the list's order. Throws BadFileError naming
/// `file`, the tensor and the place: one that the source does not have, or with another value there (after
/// decoding, bit for bit): the list is of another model.
std::vector<std::size_t> locate_super_weights(const SuperWeightList& list, const WeightSource& source,
                                              const std::string& file);

}  // namespace tessera
