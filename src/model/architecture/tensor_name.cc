#include "model/architecture/tensor_name.h"

#include <charconv>

namespace tessera::model {
namespace {

constexpr std::string_view kHole = "{}";

}  // namespace

bool is_per_layer(std::string_view pattern) { return pattern.find(kHole) != std::string_view::npos; }

std::string with_layer(std::string_view pattern, std::uint32_t layer) {
  const auto hole = pattern.find(kHole);
  if (hole == std::string_view::npos) return std::string(pattern);
  std::string name(pattern.substr(0, hole));
  name += std::to_string(layer);
  name += pattern.substr(hole + kHole.size());
  return name;
}

std::optional<std::uint32_t> layer_of(std::string_view pattern, std::string_view name) {
  const auto hole = pattern.find(kHole);
  if (hole == std::string_view::npos) return pattern == name ? std::optional<std::uint32_t>(0) : std::nullopt;
  if (!name.starts_with(pattern.substr(0, hole))) return std::nullopt;
  std::uint32_t layer = 0;
  const auto parsed = std::from_chars(name.data() + hole, name.data() + name.size(), layer);
  if (parsed.ec != std::errc()) return std::nullopt;
  // Rebuilding the name refuses "03" and whatever follows the number.
  return with_layer(pattern, layer) == name ? std::optional(layer) : std::nullopt;
}

}  // namespace tessera::model
