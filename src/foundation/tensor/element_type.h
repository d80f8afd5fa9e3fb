// The element types a stored tensor can have: ggml's tensor types, with their numbers, sizes and demands.
//
// Source of the table: shared/formats/BLOCKS.md sections 2 and 3. A row of `columns` weights is stored as
// columns / block_weights blocks of block_bytes bytes, back to back, no padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tessera {

/// Values are ggml's type ids, as written in GGUF files.
enum class ElementType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  I8 = 24,
  I16 = 25,
  I32 = 26,
  I64 = 27,
  F64 = 28,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
  NVFP4 = 40,
  Q1_0 = 41,
  Q2_0 = 42,
};

/// What a type asks of the importance matrix (BLOCKS.md section 2).
enum class ImportanceDemand {
  none,      ///< works without one
  required,  ///< encoding without one is refused: the result would be unusable
};

struct ElementTypeInfo {
  ElementType type;
  std::string_view name;        ///< ggml's spelling, e.g. "Q4_K"
  std::uint32_t block_weights;  ///< weights per block, 1 for plain types
  std::uint32_t block_bytes;    ///< bytes per block
  bool quantized;               ///< false for plain floats and integers
  ImportanceDemand demand;
  /// The type used instead when a row length is not a multiple of block_weights; empty: there is none.
  std::optional<ElementType> fallback;

  double bits_per_weight() const { return 8.0 * block_bytes / block_weights; }
};

/// All types, in the order of their ids.
std::span<const ElementTypeInfo> all_element_types();

/// The table row of `type`.
const ElementTypeInfo& info(ElementType type);

/// The type with this ggml id, or empty for retired, scratch and unknown ids.
std::optional<ElementType> element_type_from_id(std::uint32_t id);

/// The type of this name, case-insensitively ("q4_k", "Q4_K"), or empty.
std::optional<ElementType> element_type_from_name(std::string_view name);

inline std::string_view name_of(ElementType type) { return info(type).name; }

/// Whether the type holds weights as floats or quantized blocks (not integers or F64 data).
bool is_weight_type(ElementType type);

/// Bytes of one row. `columns` must be a multiple of the block width.
std::uint64_t row_bytes(ElementType type, std::uint64_t columns);

}  // namespace tessera
