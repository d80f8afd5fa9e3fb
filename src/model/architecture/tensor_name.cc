#include "model/architecture/tensor_name.h"

#include <charconv>

namespace tessera::model {
namespace {

constexpr std::string_view kHole = "{}";

std::size_t holes(std::string_view pattern) {
  std::size_t count = 0;
  for (auto at = pattern.find(kHole); at != std::string_view::npos; at = pattern.find(kHole, at + 1)) ++count;
  return count;
}

}  // namespace

bool is_per_layer(std::string_view pattern) { return holes(pattern) > 0; }
bool is_per_expert(std::string_view pattern) { return holes(pattern) > 1; }

std::string with_indices(std::string_view pattern, const NameIndices& indices) {
  std::string name;
  for (const std::uint32_t index : {indices.layer, indices.expert}) {
    const auto hole = pattern.find(kHole);
    if (hole == std::string_view::npos) break;
    name += pattern.substr(0, hole);
    name += std::to_string(index);
    pattern.remove_prefix(hole + kHole.size());
  }
  name += pattern;
  return name;
}

std::optional<NameIndices> indices_of(std::string_view pattern, std::string_view name) {
  NameIndices indices;
  auto rest = pattern;
  auto left = name;
  for (std::uint32_t* index : {&indices.layer, &indices.expert}) {
    const auto hole = rest.find(kHole);
    if (hole == std::string_view::npos) break;
    if (!left.starts_with(rest.substr(0, hole))) return std::nullopt;
    left.remove_prefix(hole);
    const auto parsed = std::from_chars(left.data(), left.data() + left.size(), *index);
    if (parsed.ec != std::errc()) return std::nullopt;
    left.remove_prefix(static_cast<std::size_t>(parsed.ptr - left.data()));
    rest.remove_prefix(hole + kHole.size());
  }
  // Rebuilding the name refuses "03" and whatever follows.
  return with_indices(pattern, indices) == name ? std::optional(indices) : std::nullopt;
}

}  // namespace tessera::model
