// Reading per-weight Fisher diagonals, row by row: they are as large as the model and are never held whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "foundation/tensor/weight_source.h"

namespace tessera::imatrix {

class FisherReader {
 public:
  /// Opens an importance matrix of the GGUF form. Throws BadFileError when it is none.
  explicit FisherReader(const std::filesystem::path& path);

  /// Whether the file holds the diagonal of this weight tensor.
  bool contains(const std::string& entry) const { return tensors_.contains(entry); }

  /// Mean squared gradient of the weights of these rows, [rows.count, columns] row-major, finite and not
  /// negative. The diagonal is there, and has the rows. Throws BadFileError naming row and column of a value
  /// that cannot be. From any thread.
  std::vector<float> rows(const std::string& entry, RowRange rows) const;

 private:
  std::unique_ptr<WeightSource> source_;
  std::map<std::string, std::size_t> tensors_;  ///< tensor of the source, by entry
};

}  // namespace tessera::imatrix
