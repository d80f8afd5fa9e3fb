// Names and keys of the parts of a split GGUF model (shared/formats/GGUF.md section 2).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace tessera::gguf {

constexpr std::string_view kSplitNumberKey = "split.no";    ///< uint16, index of the part from 0
constexpr std::string_view kSplitCountKey = "split.count";  ///< uint16, number of parts
constexpr std::string_view kSplitTensorCountKey =
    "split.tensors.count";  ///< int32, tensors in all parts together

/// PREFIX-00001-of-00003.gguf for part 0 of 3. `prefix` includes the folder.
std::filesystem::path split_path(const std::filesystem::path& prefix, std::uint64_t part,
                                 std::uint64_t count);

/// The prefix of a path that names part `part` of `count`, or empty when it does not.
std::optional<std::filesystem::path> split_prefix(const std::filesystem::path& path, std::uint64_t part,
                                                  std::uint64_t count);

}  // namespace tessera::gguf
