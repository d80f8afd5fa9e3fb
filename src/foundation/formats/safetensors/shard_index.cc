#include "foundation/formats/safetensors/shard_index.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/json/strict_json.h"

namespace tessera::safetensors {
namespace {

/// A shard outside the folder could make us read any file of the machine.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

}  // namespace

WeightMap read_shard_index(std::span<const std::byte> bytes, const std::string& file) {
  const auto refuse = [&file](const std::string& tensor, const std::string& message) {
    throw BadFileError({.file = file, .tensor = printable(tensor)}, message);
  };
  const nlohmann::json index = parse_json(bytes, file);
  const auto found = index.is_object() ? index.find("weight_map") : index.end();
  if (found == index.end() || !found->is_object() || found->empty()) {
    refuse({}, "the index has no \"weight_map\" object that maps tensors to shards");
  }
  WeightMap map;
  for (const auto& [tensor, shard] : found->items()) {
    if (!shard.is_string()) refuse(tensor, "its shard in the index is not a string");
    const auto& name = shard.get_ref<const std::string&>();
    if (!is_plain_file_name(name)) {
      refuse(tensor,
             fmt::format("its shard '{}' is not the name of a file in the index's folder", printable(name)));
    }
    map.emplace(tensor, name);
  }
  return map;
}

}  // namespace tessera::safetensors
