// Adds up the second moments of the inputs of linears that a paired pass shows.
//
// Batches are transposed once, so that both operands of the products lie along the tokens as the matrix units
// read them; the sums H and D are kept in dense square tiles, H only in those on or above the diagonal, once
// for the batches that have a reference and once for the others. A tile and a batch are one product on one
// thread, in an order of additions that its shape alone decides: the sums have the same bits for any number
// of threads (not for any division into batches).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "artifacts/input_moments.h"
#include "foundation/kernels/gemm.h"
#include "model/forward/paired_pass.h"

namespace tessera::stages {

struct MomentSettings {
  bool drift = true;  ///< D as well, from the batches that have a reference: four times the memory
  int threads = 0;    ///< 0: all cores
};

/// Of one input. Memory: 4 bytes a column and column for each of the sums, half of it for H, beside two
/// transposed batches.
class MomentSums {
 public:
  MomentSums(std::size_t columns, const MomentSettings& settings);

  /// Adds a batch of rows, of `columns` columns.
  void add(const model::PairedRows& rows);

  /// Adds what `other`, of as many columns and the same settings, has added up.
  void add(const MomentSums& other);

  /// The means over all tokens, of which there are some; nothing is left here. D is left out where none of
  /// them had a reference. Throws BadFileError naming `file` and the tensors that read the input, `readers`,
  /// where a NaN, an infinite or a huge element was among the rows.
  InputMoments take(const std::string& file, std::span<const std::string> readers);

 private:
  enum class Sum {
    unpaired,  ///< H of the batches without a reference
    paired,    ///< H of those that have one
    drift,
  };

  /// Columns [row, row + height) of one input against [column, column + width) of the other.
  struct Tile {
    Sum sum = Sum::unpaired;
    std::size_t row = 0;
    std::size_t column = 0;
    std::size_t height = 0;
    std::size_t width = 0;
    std::vector<float> sums = {};  ///< [height, width]; empty until something is added
  };

  void transpose(const model::PairedRows& rows, bool with_drift);
  void add_paired_to_unpaired();
  /// [columns, columns].
  void take_means(Sum sum, std::uint64_t tokens, std::vector<float>& means);
  void write_means(const Tile& tile, std::uint64_t tokens, std::vector<float>& means) const;

  std::size_t columns_;
  MomentSettings settings_;
  std::uint64_t tokens_ = 0;
  std::vector<Tile> tiles_;
  std::vector<kernels::MatrixProducts> products_;  ///< by worker
  kernels::Matrix replaced_;                       ///< of the present batch, [columns, tokens]
  kernels::Matrix drift_;                          ///< likewise, r - x
  std::uint64_t paired_tokens_ = 0;
};

}  // namespace tessera::stages
