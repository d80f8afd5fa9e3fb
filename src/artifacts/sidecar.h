// The sidecar of a quantized model: exact values of a few of its weights, in a file that also is a LoRA
// adapter.
//
// A GGUF file, as `llama-completion --lora` loads it:
//
//   general.type = "adapter", general.architecture = that of the model, adapter.type = "lora",
//   adapter.lora.alpha = 1
//   NAME.lora_a  F16 [rank, columns]    of the model's tensor NAME [rows, columns]
//   NAME.lora_b  F16 [rows, rank]
//
// A runtime adds alpha / rank * lora_b lora_a to the tensor. One of the two picks `rank` rows or columns of
// the tensor: row k of lora_a, or column k of lora_b, has the value `rank` at one place and 0 elsewhere. The
// other holds what the weights of those rows or columns differ by, exact - quantized, and 0 where nothing is
// restored. Of the two directions the one of smaller rank is taken, rows when they are alike.
//
// Beside it the plain sparse form, which Tessera itself applies:
//
//   tessera.sidecar.version = 1
//   tessera.sidecar.base_hash    32 hexadecimal digits over the content of the quantized model's files
//   tessera.sidecar.tensors      names, one for each pair of tensors
//   tessera.sidecar.tensor       [weights] which of them, from 0    (u32, as the next two)
//   tessera.sidecar.row          [weights]
//   tessera.sidecar.column       [weights]
//   tessera.sidecar.value        [weights] the exact value (f32)
//
// in order of tensor, row and column.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace tessera {

struct SidecarWeight {
  std::uint64_t row = 0;
  std::uint64_t column = 0;
  float value = 0;       ///< exact
  float difference = 0;  ///< exact - quantized; of a sidecar that was read as F16 rounds it

  bool operator==(const SidecarWeight&) const = default;
};

struct SidecarTensor {
  std::string name;  ///< of a matrix of the model
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::vector<SidecarWeight> weights;  ///< at least one, in order of row and column

  bool operator==(const SidecarTensor&) const = default;
};

struct Sidecar {
  std::string architecture;
  std::string base_hash;  ///< 32 hexadecimal digits
  std::vector<SidecarTensor> tensors;

  std::uint64_t weights() const;
  bool operator==(const Sidecar&) const = default;
};

/// The rows or columns that the adapter of a tensor picks: as many as its rank.
struct SidecarLines {
  bool by_rows = true;
  std::vector<std::uint64_t> lines;  ///< in order
};
SidecarLines lines_of(const SidecarTensor& tensor);

/// Bytes of the pair of tensors for one line of a matrix.
std::uint64_t sidecar_line_bytes(std::uint64_t rows, std::uint64_t columns);

/// Of the file, whatever values, differences and hash are. Of a sidecar without tensors 0: it is not written.
std::uint64_t sidecar_file_bytes(const Sidecar& sidecar);

/// At once, atomically. Throws IoError, UsageError when a difference is beyond the range of F16.
void write_sidecar(const Sidecar& sidecar, const std::filesystem::path& path);

/// Throws BadFileError naming file and key or tensor: no GGUF file, another adapter, keys or tensors that are
/// missing or contradict each other, weights out of range, twice, out of order, NaN or infinite.
Sidecar parse_sidecar(std::span<const std::byte> bytes, const std::string& file);
Sidecar read_sidecar(const std::filesystem::path& path);

}  // namespace tessera
