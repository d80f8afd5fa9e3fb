// llama.cpp's importance-matrix files, in both forms (shared/formats/GGUF.md sections 4 to 6).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace tessera::imatrix {

/// Statistics of the inputs of one weight tensor. Experts are independent; a dense tensor has one.
struct Entry {
  std::uint64_t columns = 0;
  std::vector<float> sums;            ///< [experts, columns]: sum over tokens of the squared activation
  std::vector<std::uint64_t> counts;  ///< [experts]: tokens summed; 0: the expert was never seen

  std::uint64_t experts() const { return counts.size(); }
  /// Mean squared activation per column of one expert; all ones (neutral) for an expert never seen.
  std::vector<float> importance(std::uint64_t expert) const;
};

struct ImatrixFile {
  std::vector<std::string> datasets;  ///< names of the calibration texts
  std::uint32_t chunk_count = 0;
  std::uint32_t chunk_size = 0;  ///< tokens per chunk; 0 when the file does not say
  std::map<std::string, Entry> entries;
};

/// Reads either form (told apart by the first four bytes). Throws BadFileError: damaged, non-finite or
/// negative sums.
ImatrixFile read_imatrix(const std::filesystem::path& path);

/// Writes the GGUF form.
void write_imatrix_gguf(const std::filesystem::path& path, const ImatrixFile& imatrix);
/// Writes the legacy form (.dat).
void write_imatrix_legacy(const std::filesystem::path& path, const ImatrixFile& imatrix);

}  // namespace tessera::imatrix
