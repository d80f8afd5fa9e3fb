#include "layering/include_rules.h"

#include <algorithm>
#include <array>
#include <optional>
#include <regex>
#include <sstream>

namespace tessera::layering {
namespace {

/// Lowest first. A file belongs to the rung whose folder its path starts with.
constexpr std::array<std::string_view, 10> kLadder{
    "foundation/base/",    "foundation/tensor/",
    "foundation/kernels/", "foundation/codecs/",
    "foundation/formats/", "model/",
    "artifacts/",          "stages/",
    "pipeline/",           "cli/",
};

/// System headers that only one file may include.
struct Exclusive {
  std::string_view header_prefix;
  std::string_view file_prefix;
};
constexpr std::array kExclusive{
    Exclusive{"oneapi/dnnl/", "src/foundation/kernels/gemm.cc"},
    Exclusive{"dnnl", "src/foundation/kernels/gemm.cc"},
    Exclusive{"xxh", "src/foundation/base/content_hash.cc"},
    Exclusive{"ggml", "src/foundation/codecs/ggml_encoder.cc"},
    Exclusive{"pcre2", "src/model/text/word_splitter.cc"},
    Exclusive{"CLI/", "cli/"},
};

/// Headers through which a library prints.
constexpr std::array<std::string_view, 2> kPrinting{"iostream", "print"};

std::optional<std::size_t> rung_of(std::string_view path) {
  for (std::size_t i = 0; i < kLadder.size(); ++i) {
    if (path.starts_with(kLadder[i])) return i;
  }
  return std::nullopt;
}

/// "stages/encode/encoder.h" and "stages/encode.cc" are both stage "encode".
std::string_view stage_of(std::string_view path) {
  path.remove_prefix(std::string_view("stages/").size());
  return path.substr(0, path.find_first_of("/."));
}

/// The path as includes spell it: below src/, or from the root for cli/.
std::string_view without_src(std::string_view file) {
  return file.starts_with("src/") ? file.substr(4) : file;
}

std::string object_to_quoted(const Include& include) {
  const std::string_view from = without_src(include.file);
  if (include.target.find("..") != std::string::npos)
    return "includes are written from src/, never with '..'";
  const auto from_rung = rung_of(from);
  if (!from_rung) return "the file is in no folder of the ladder";
  const auto to_rung = rung_of(include.target);
  if (!to_rung) {
    if (from.starts_with("cli/") && include.target.find('/') == std::string::npos) return {};
    return "the included file is in no folder of the ladder";
  }
  if (*to_rung > *from_rung) return "a lower layer includes a higher one";
  const bool between_stages = from.starts_with("stages/") && include.target.starts_with("stages/");
  if (between_stages && stage_of(from) != stage_of(include.target)) {
    return "a stage includes another stage; pass an artifact instead";
  }
  if (from.starts_with("cli/") && include.target.ends_with("-inl.h")) {
    return "the program includes a header that is not installed";
  }
  return {};
}

std::string object_to_system(const Include& include) {
  for (const auto& rule : kExclusive) {
    if (include.target.starts_with(rule.header_prefix) && !include.file.starts_with(rule.file_prefix)) {
      return "only " + std::string(rule.file_prefix) + " may include this";
    }
  }
  if (include.file.starts_with("src/") && std::ranges::count(kPrinting, include.target) > 0) {
    return "the library never prints";
  }
  return {};
}

}  // namespace

std::vector<Include> includes_of(std::string_view text, const std::string& file) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
  std::vector<Include> found;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::smatch match;
    if (std::regex_match(line, match, pattern)) found.push_back({file, number, match[2], match[1] == "\""});
  }
  return found;
}

std::string objection(const Include& include) {
  return include.quoted ? object_to_quoted(include) : object_to_system(include);
}

}  // namespace tessera::layering
