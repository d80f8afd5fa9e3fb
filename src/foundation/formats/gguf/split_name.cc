#include "foundation/formats/gguf/split_name.h"

#include <fmt/format.h>

#include <string>

namespace tessera::gguf {
namespace {

std::string split_suffix(std::uint64_t part, std::uint64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", part + 1, count);
}

}  // namespace

std::filesystem::path split_path(const std::filesystem::path& prefix, std::uint64_t part,
                                 std::uint64_t count) {
  return prefix.string() + split_suffix(part, count);
}

std::optional<std::filesystem::path> split_prefix(const std::filesystem::path& path, std::uint64_t part,
                                                  std::uint64_t count) {
  const std::string text = path.string();
  const std::string suffix = split_suffix(part, count);
  if (!text.ends_with(suffix)) return std::nullopt;
  return text.substr(0, text.size() - suffix.size());
}

}  // namespace tessera::gguf
