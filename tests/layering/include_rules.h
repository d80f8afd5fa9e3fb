// Which folder of src may include which: the house's ladder of layers as data.
//
//   foundation/{base < tensor < kernels < codecs < formats} < model < artifacts < stages < pipeline < cli
//
// A file includes its own rung and those below it, except that a stage includes no other stage: what passes
// between two stages is an artifact. Three libraries have one file each that may include them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::layering {

/// One #include line of a source file.
struct Include {
  std::string file;    ///< path from the repository's root, e.g. "src/model/source/open_model.cc"
  int line = 0;        ///< counting from 1
  std::string target;  ///< what stands between the quotes or angle brackets
  bool quoted = false;
};

/// The #include lines of `text`, the content of `file`.
std::vector<Include> includes_of(std::string_view text, const std::string& file);

/// Why the house refuses this include, or empty when it is allowed.
std::string objection(const Include& include);

}  // namespace tessera::layering
