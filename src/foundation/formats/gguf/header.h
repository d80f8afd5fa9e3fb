// The header of one GGUF file (one part of a split model): bytes <-> metadata and tensor places.
//
// Everything is little-endian and unaligned until the data section:
//
//     file    := "GGUF" u32:version u64:tensor_count u64:key_count key* info* padding data*
//     key     := string:name u32:value_type value
//     info    := string:name u32:n_dims u64:size[n_dims] u32:tensor_type u64:offset
//     padding := zero bytes up to the alignment, only if there are tensors
//     data    := the bytes of one tensor, then zero bytes up to the alignment (the last one too)
//     string  := u64:length bytes (no terminator)
//     array   := u32:element_type u64:count elements
//
// Sizes are listed fastest-varying first, the reverse of TensorDescriptor::shape. Offsets count from the
// start of the data section and are consecutive in the order of the infos. Source: shared/formats/GGUF.md
// section 1, whose list of checks read_header makes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::gguf {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint32_t kWrittenVersion = 3;
constexpr std::uint32_t kDefaultAlignment = 32;
constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr std::size_t kMaxTensorNameBytes = 63;
constexpr std::size_t kMaxDimensions = 4;

/// The smallest multiple of `alignment` (a power of two) that is not below `value`.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

struct StoredTensor {
  TensorDescriptor descriptor;
  std::uint64_t begin = 0;  ///< first byte, from the start of the file
  std::uint64_t bytes = 0;  ///< without the padding that follows
};

struct Header {
  std::uint32_t version = kWrittenVersion;
  Metadata metadata;
  std::vector<StoredTensor> tensors;  ///< in file order; all inside the file, none overlapping
};

/// Reads the header of a file whose bytes are `file`, touching no tensor data. Throws BadFileError naming
/// `file_name`, the key or tensor, and the offset.
Header read_header(std::span<const std::byte> file, const std::string& file_name);

/// Bytes of the info of one tensor.
std::uint64_t info_bytes(const TensorDescriptor& tensor);

/// Bytes before the data section when these keys and tensors are written, with padding when there are
/// tensors.
std::uint64_t header_bytes(const Metadata& metadata, std::span<const TensorDescriptor> tensors);

/// The bytes of that header (version 3, default alignment), padding included.
std::vector<std::byte> write_header(const Metadata& metadata, std::span<const TensorDescriptor> tensors);

}  // namespace tessera::gguf
