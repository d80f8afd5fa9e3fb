// The known name that a mistyped one most likely meant.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

/// The name at the least edit distance (insertions, deletions and substitutions of characters and exchanges
/// of neighbours; case is ignored) from `text`, as long as at most a third of the longer one's characters
/// differ; the first of equals.
std::optional<std::string_view> nearest_name(std::string_view text, std::span<const std::string_view> names);

/// "; did you mean 'NAME'?", or nothing when no name is near.
std::string did_you_mean(std::string_view text, std::span<const std::string_view> names);

}  // namespace tessera
