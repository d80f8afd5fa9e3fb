// The header of one safetensors file: bytes <-> tensor places.
//
//     file   := u64:header_length header data
//     header := a JSON object, padded with spaces:
//               { "__metadata__": {text: text, ...}, NAME: {"dtype": "F32", "shape": [rows, columns],
//                 "data_offsets": [begin, end]}, ... }
//
// Offsets count from the start of the data; the tensors fill it without gap or overlap. Numbers are
// little-endian, rows are contiguous. Source: https://huggingface.co/docs/safetensors, "Format".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::safetensors {

/// A data type of the format that can be read: an element type of our own, or 8-bit floats (decoded with
/// block scales).
struct StoredType {
  std::string_view name;  ///< as in the header, e.g. "BF16"
  std::uint32_t bytes;
  std::optional<ElementType> element;  ///< empty for F8_E4M3
};

/// The type of this name, or nullptr when it is unknown or cannot be represented.
const StoredType* stored_type_from_name(std::string_view name);
/// The type that stores `element`, or nullptr when the format has none (quantized blocks).
const StoredType* stored_type_of(ElementType element);

struct StoredTensor {
  std::string name;
  const StoredType* type;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  ///< first byte, from the start of the file
  std::uint64_t bytes = 0;
};

/// Reads the header of a file whose bytes are `file`, touching no tensor data. The tensors come in the order
/// of their data; all lie inside the file, none overlap. Throws BadFileError naming `file_name`, tensor and
/// offset.
std::vector<StoredTensor> read_header(std::span<const std::byte> file, const std::string& file_name);

}  // namespace tessera::safetensors
