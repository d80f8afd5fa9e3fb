// Writing the GGUF form in pieces: Fisher diagonals as they are found, in any order, the statistics at the
// end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/tensor/tensor_sink.h"

namespace tessera::imatrix {

class ImatrixWriter {
 public:
  /// Makes room for everything. `outline` says what the file will hold: all keys, `fisher`, and entries whose
  /// vectors have their final sizes (their values do not matter yet). Throws UsageError (a name too long for
  /// the form, an unwritable place) or IoError (no space).
  ImatrixWriter(const std::filesystem::path& path, const ImatrixFile& outline);

  /// Stores rows of the diagonal of the weight tensor `entry`, in the type that the outline gives it, from
  /// row `first_row` on (experts count as further rows). From any thread. Throws IoError.
  void write_fisher_rows(const std::string& entry, std::uint64_t first_row, std::span<const std::byte> rows);

  /// Stores the entries, which have the sizes of the outline's. Throws IoError.
  void write_statistics(const std::map<std::string, Entry>& entries);

  /// Makes the file durable and visible; without it nothing is left behind. Throws IoError.
  void commit() { sink_->commit(); }

 private:
  std::unique_ptr<TensorSink> sink_;
  std::map<std::string, std::size_t> fisher_;  ///< tensor of the sink, by entry
};

}  // namespace tessera::imatrix
