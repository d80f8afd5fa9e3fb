// The files of data/recipes, embedded at build time (cmake/EmbedRecipes.cmake writes the definition).
#pragma once

#include <span>
#include <string_view>

namespace tessera {

struct EmbeddedFile {
  std::string_view name;
  std::string_view text;
};

std::span<const EmbeddedFile> embedded_recipes();

}  // namespace tessera
