// What is known of a stored tensor without reading its data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "foundation/tensor/element_type.h"

namespace tessera {

/// Name, element type and shape. The shape is outermost first: [rows, columns] for a linear, [experts, rows,
/// columns] for stacked experts, [columns] for a vector. GGUF's reversed order exists only inside formats/.
struct TensorDescriptor {
  std::string name;
  ElementType type;
  std::vector<std::uint64_t> shape;

  std::uint64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  /// Product of all dimensions but the last: experts count as further rows.
  std::uint64_t rows() const;
  /// Rows of one matrix: the second-to-last dimension, 1 for vectors.
  std::uint64_t rows_per_matrix() const { return shape.size() < 2 ? 1 : shape[shape.size() - 2]; }
  std::uint64_t weights() const { return rows() * columns(); }
  std::uint64_t bytes() const { return rows() * row_bytes(type, columns()); }

  bool operator==(const TensorDescriptor&) const = default;
};

}  // namespace tessera
