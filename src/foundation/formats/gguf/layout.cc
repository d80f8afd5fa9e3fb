#include "foundation/formats/gguf/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <unordered_set>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/gguf/split_name.h"

namespace tessera::gguf {
namespace {

constexpr std::uint64_t kMaxParts = std::numeric_limits<std::uint16_t>::max();

std::uint64_t padded_bytes(const TensorDescriptor& tensor) {
  return align_up(tensor.bytes(), kDefaultAlignment);
}

void check_tensors(std::span<const TensorDescriptor> tensors) {
  std::unordered_set<std::string_view> seen;
  const auto refuse = [](const TensorDescriptor& tensor, const std::string& reason) {
    throw UsageError(
        fmt::format("tensor '{}' cannot be written to a GGUF file: {}", printable(tensor.name), reason));
  };
  for (const auto& tensor : tensors) {
    if (tensor.name.empty() || tensor.name.size() > kMaxTensorNameBytes) {
      refuse(tensor, fmt::format("its name must have 1 to {} bytes", kMaxTensorNameBytes));
    }
    if (tensor.shape.size() > kMaxDimensions) {
      refuse(tensor, fmt::format("it has {} dimensions; at most {} are possible", tensor.shape.size(),
                                 kMaxDimensions));
    }
    if (std::ranges::count(tensor.shape, 0u) > 0) refuse(tensor, "a dimension is zero");
    if (!seen.insert(tensor.name).second) refuse(tensor, "two tensors have this name");
  }
}

/// The keys as a single file carries them.
Metadata whole_metadata(Metadata metadata) {
  for (const auto key : {kAlignmentKey, kSplitNumberKey, kSplitTensorCountKey, kSplitCountKey})
    metadata.erase(key);
  return metadata;
}

void set_split_keys(Metadata& metadata, std::uint64_t part, std::uint64_t count, std::uint64_t tensors) {
  metadata.set(kSplitNumberKey, static_cast<std::uint16_t>(part));
  metadata.set(kSplitTensorCountKey, static_cast<std::int32_t>(tensors));
  metadata.set(kSplitCountKey, static_cast<std::uint16_t>(count));
}

void measure(Part& part, std::span<const TensorDescriptor> all) {
  part.header_bytes = header_bytes(part.metadata, part.tensors(all));
  part.file_bytes = part.header_bytes;
  for (const auto& tensor : part.tensors(all)) part.file_bytes += padded_bytes(tensor);
}

/// Cuts the tensors into ranges; the split keys already have their final size, not yet their final values.
std::vector<Part> cut(const Metadata& metadata, std::span<const TensorDescriptor> all,
                      std::uint64_t max_bytes) {
  std::vector<Part> parts;
  std::uint64_t header = 0;
  std::uint64_t data = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::uint64_t info = info_bytes(all[i]);
    const std::uint64_t grown = align_up(header + info, kDefaultAlignment) + data + padded_bytes(all[i]);
    if (parts.empty() || grown > max_bytes) {
      Part part{.metadata = parts.empty() ? metadata : Metadata(), .first_tensor = i};
      set_split_keys(part.metadata, 0, 0, 0);
      header = header_bytes(part.metadata, {});
      data = 0;
      parts.push_back(std::move(part));
    }
    header += info;
    data += padded_bytes(all[i]);
    ++parts.back().tensor_count;
  }
  return parts;
}

/// The one file of a model that is not split.
std::vector<Part> alone(Part whole) {
  std::vector<Part> parts;
  parts.push_back(std::move(whole));  // a list in braces would copy the vocabulary
  return parts;
}

std::filesystem::path without_extension(const std::filesystem::path& path) {
  return path.extension() == ".gguf" ? std::filesystem::path(path).replace_extension() : path;
}

}  // namespace

std::vector<Part> lay_out(const std::filesystem::path& path, const Metadata& metadata,
                          std::span<const TensorDescriptor> tensors, std::uint64_t max_bytes) {
  check_tensors(tensors);
  Part whole{.path = path, .metadata = whole_metadata(metadata), .tensor_count = tensors.size()};
  measure(whole, tensors);
  if (max_bytes == 0 || whole.file_bytes <= max_bytes || tensors.size() < 2) return alone(std::move(whole));

  std::vector<Part> parts = cut(whole.metadata, tensors, max_bytes);
  if (parts.size() > kMaxParts) {
    throw UsageError(
        fmt::format("parts of at most {} bytes would make {} files; at most {} are possible: choose a larger "
                    "split size",
                    max_bytes, parts.size(), kMaxParts));
  }
  if (parts.size() == 1) return alone(std::move(whole));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i].path = split_path(without_extension(path), i, parts.size());
    set_split_keys(parts[i].metadata, i, parts.size(), tensors.size());
    measure(parts[i], tensors);
  }
  return parts;
}

}  // namespace tessera::gguf
