// llama.cpp's importance-matrix files, in both forms (shared/formats/GGUF.md sections 4 to 6), and what
// Tessera keeps beside them in the GGUF form (docs/imatrix.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "foundation/formats/imatrix/importance_method.h"
#include "foundation/tensor/tensor_descriptor.h"

namespace tessera::imatrix {

/// Statistics of one weight tensor. Experts are independent; a dense tensor has one. What a file does not
/// hold is empty.
struct Entry {
  std::uint64_t columns = 0;
  /// [experts, columns]: sum over tokens of what the method measures (the squared activation, unless the file
  /// says otherwise); finite, not negative
  std::vector<float> sums;
  /// [experts]: tokens summed (windows for the method gradient); 0: the expert was never seen. The legacy
  /// form stores a number of calls instead, of which only the quotient sums / counts means anything.
  std::vector<std::uint64_t> counts;
  std::vector<float> maxima = {};       ///< [experts, columns]: largest |activation|
  std::vector<float> signed_sums = {};  ///< [experts, columns]: sum of the activation itself
  /// How much the loss depends on the whole tensor: the mean that `importance` gives, summed over all columns
  /// and experts. Finite, not negative.
  std::optional<float> sensitivity = std::nullopt;

  std::uint64_t experts() const { return counts.size(); }
  /// Mean of what the method measures, per column of one expert; all ones (neutral) for an expert never seen.
  std::vector<float> importance(std::uint64_t expert) const;
  /// This entry as that of a tensor with `experts` matrices of `tensor_columns` columns. The legacy form does
  /// not say how many experts an entry has: it reads as one row of experts * columns values, which this cuts
  /// up. Empty when the entry cannot belong to such a tensor.
  std::optional<Entry> fitted_to(std::uint64_t experts, std::uint64_t tensor_columns) const;

  bool operator==(const Entry&) const = default;
};

/// What an importance matrix was made from; empty where the file does not say (another program's file).
struct Provenance {
  std::string version;     ///< of Tessera
  std::string model_hash;  ///< content hash of the model's files
  std::string data_hash;   ///< content hash of the calibration texts
  std::string options;     ///< every option that decides the numbers, as one line

  bool operator==(const Provenance&) const = default;
};

struct ImatrixFile {
  std::vector<std::string> datasets;  ///< names of the calibration texts
  std::uint32_t chunk_count = 0;
  std::uint32_t chunk_size = 0;          ///< tokens per chunk; 0 when the file does not say (legacy form)
  std::map<std::string, Entry> entries;  ///< by the name of the weight tensor
  ImportanceMethod method = ImportanceMethod::activation;
  Provenance provenance = {};
  /// Per-weight Fisher diagonals that the file holds, by the name of the weight tensor: type (F32, F16 or
  /// BF16) and shape, which is the weight's. Too large to keep: FisherReader reads them, ImatrixWriter
  /// writes them.
  std::map<std::string, TensorDescriptor> fisher = {};
};

/// Reads either form (told apart by the first four bytes). Throws BadFileError naming file, entry and offset:
/// damaged, not an importance matrix, non-finite or negative sums, a method this version does not know.
ImatrixFile read_imatrix(const std::filesystem::path& path);

/// The same from the bytes of a file; `file` names it in errors.
ImatrixFile parse_imatrix(std::span<const std::byte> bytes, const std::string& file);

/// Writes the GGUF form, without Fisher diagonals (`imatrix.fisher` is empty; else use ImatrixWriter). Throws
/// UsageError (a name too long for the form, an unwritable place) or IoError.
void write_imatrix_gguf(const std::filesystem::path& path, const ImatrixFile& imatrix);

/// Writes the legacy form (.dat), which keeps means only, one common count, and the last data set's name.
/// Entries without any data are left out; experts never seen get a mean of 1. Throws UsageError or IoError.
void write_imatrix_legacy(const std::filesystem::path& path, const ImatrixFile& imatrix);

}  // namespace tessera::imatrix
