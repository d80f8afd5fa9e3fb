// Where everything goes when a GGUF model is written: which tensors each part holds and how large it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::gguf {

/// One file to be written: a range of the tensors, and the keys it carries.
struct Part {
  std::filesystem::path path = {};
  Metadata metadata = {};
  std::size_t first_tensor = 0;
  std::size_t tensor_count = 0;
  std::uint64_t header_bytes = 0;  ///< with padding: where the data section begins
  std::uint64_t file_bytes = 0;

  std::span<const TensorDescriptor> tensors(std::span<const TensorDescriptor> all) const {
    return all.subspan(first_tensor, tensor_count);
  }
};

/// One part holding everything when `max_bytes` is 0 or not exceeded; else parts that each take tensors, in
/// order, while their file stays within `max_bytes`. Keys that describe the layout of the input
/// (general.alignment, split.*) are replaced by those of the output. Throws UsageError for tensors that GGUF
/// cannot hold and for more than 65535 parts.
std::vector<Part> lay_out(const std::filesystem::path& path, const Metadata& metadata,
                          std::span<const TensorDescriptor> tensors, std::uint64_t max_bytes);

}  // namespace tessera::gguf
