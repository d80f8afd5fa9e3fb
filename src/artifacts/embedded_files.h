// Files of data/ and the report page, embedded at build time (cmake/EmbedFiles.cmake writes the definitions).
#pragma once

#include <span>
#include <string_view>

namespace tessera {

struct EmbeddedFile {
  std::string_view name;
  std::string_view text;
};

/// data/recipes
std::span<const EmbeddedFile> embedded_recipes();
/// data/profiles
std::span<const EmbeddedFile> embedded_profiles();
/// data/prompts
std::span<const EmbeddedFile> embedded_prompts();
/// The parts of the report page: page.html and page.css of report/, the bundled page.js, licences.txt
std::span<const EmbeddedFile> embedded_report_page();

}  // namespace tessera
