// Writing tensors row by row: the one interface behind which every output file sits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "foundation/tensor/tensor_descriptor.h"

namespace tessera {

/// The tensors of a sink are declared when it is made, so every row has its place from the start and rows may
/// arrive in any order and from any thread.
class TensorSink {
 public:
  virtual ~TensorSink() = default;

  virtual std::span<const TensorDescriptor> tensors() const = 0;

  /// Stores whole rows, encoded in the tensor's declared type, from row `first_row` on. Throws IoError.
  virtual void write_rows(std::size_t tensor, std::uint64_t first_row, std::span<const std::byte> rows) = 0;

  /// Makes the output durable and visible under its name. Without it nothing is left behind. Throws IoError.
  virtual void commit() = 0;
};

}  // namespace tessera
