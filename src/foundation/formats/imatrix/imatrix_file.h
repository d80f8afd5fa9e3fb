// llama.cpp's importance-matrix files, in both forms (shared/formats/GGUF.md sections 4 to 6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera::imatrix {

/// Statistics of the inputs of one weight tensor. Experts are independent; a dense tensor has one.
struct Entry {
  std::uint64_t columns = 0;
  std::vector<float> sums;  ///< [experts, columns]: sum over tokens of the squared activation
  /// [experts]: tokens summed; 0: the expert was never seen. The legacy form stores a number of calls
  /// instead, of which only the quotient sums / counts means anything.
  std::vector<std::uint64_t> counts;

  std::uint64_t experts() const { return counts.size(); }
  /// Mean squared activation per column of one expert; all ones (neutral) for an expert never seen.
  std::vector<float> importance(std::uint64_t expert) const;
  /// This entry as that of a tensor with `experts` matrices of `tensor_columns` columns. The legacy form does
  /// not say how many experts an entry has: it reads as one row of experts * columns values, which this cuts
  /// up. Empty when the entry cannot belong to such a tensor.
  std::optional<Entry> fitted_to(std::uint64_t experts, std::uint64_t tensor_columns) const;

  bool operator==(const Entry&) const = default;
};

struct ImatrixFile {
  std::vector<std::string> datasets;  ///< names of the calibration texts
  std::uint32_t chunk_count = 0;
  std::uint32_t chunk_size = 0;          ///< tokens per chunk; 0 when the file does not say
  std::map<std::string, Entry> entries;  ///< by the name of the weight tensor
};

/// Reads either form (told apart by the first four bytes). Throws BadFileError naming file, entry and offset:
/// damaged, not an importance matrix, non-finite or negative sums.
ImatrixFile read_imatrix(const std::filesystem::path& path);

/// The same from the bytes of a file; `file` names it in errors.
ImatrixFile parse_imatrix(std::span<const std::byte> bytes, const std::string& file);

/// Writes the GGUF form. Throws UsageError (a name too long for the form, an unwritable place) or IoError.
void write_imatrix_gguf(const std::filesystem::path& path, const ImatrixFile& imatrix);

/// Writes the legacy form (.dat), which keeps means only, one common count, and the last data set's name.
/// Entries without any data are left out; experts never seen get a mean of 1. Throws UsageError or IoError.
void write_imatrix_legacy(const std::filesystem::path& path, const ImatrixFile& imatrix);

}  // namespace tessera::imatrix
