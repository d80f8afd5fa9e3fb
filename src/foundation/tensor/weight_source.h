// Reading weights tensor by tensor, row by row, on demand: the one interface behind which every input file
// sits.
//
// Nothing loads a whole model: a consumer asks for a range of rows, uses it, and discards it, so resident
// memory is bounded by the ranges in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/tensor/tensor_descriptor.h"

namespace tessera {

/// A range of rows of one tensor; experts count as further rows.
struct RowRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// What to call this source in messages: the path of the file or folder.
  virtual const std::string& name() const = 0;

  /// All tensors, in the order in which they are stored. Stable for the life of the source.
  virtual std::span<const TensorDescriptor> tensors() const = 0;

  /// Bytes of these rows in the tensor's stored type. The span is valid until the next call with the same
  /// `scratch` (it may point into a memory map or into `scratch`). Callable from several threads with
  /// distinct scratches.
  virtual std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                                 std::vector<std::byte>& scratch) const = 0;

  /// Says that these rows will not be needed soon, so that their memory can be given back.
  virtual void discard(std::size_t tensor, RowRange rows) const = 0;

  /// Index of the tensor of this name, or empty. The default looks at every name; sources with many tensors
  /// keep a TensorIndex.
  virtual std::optional<std::size_t> find(std::string_view tensor_name) const;
};

}  // namespace tessera
