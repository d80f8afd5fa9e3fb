// What smoothing needs of the input of linears, taken while a pass shows it: how large each column gets, and
// some of the rows themselves, in the precision in which they are shown, on
// which W8A8 is tried out.
//
// The magnitude of a column is the largest, or a percentile: with p percent of N tokens the
// ceil(p / 100 N)-th smallest magnitude, exactly (N - that + 1 values per column are kept for it). A
// percentile below 100 keeps single freak tokens from deciding the scales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "artifacts/input_magnitudes.h"
#include "foundation/kernels/matrix.h"

namespace tessera::stages {

struct MagnitudeSettings {
  double percentile = 100;         ///< above kLeastPercentile, at most 100
  std::size_t sampled_rows = 512;  ///< evenly spaced over the tokens; all when there are fewer
  int threads = 0;                 ///< 0: all cores
};

/// Below this the values kept per column would be a large part of all.
inline constexpr double kLeastPercentile = 90;

class MagnitudeGatherer {
 public:
  /// Of `tokens` rows of `columns` elements, of which there are some.
  MagnitudeGatherer(std::size_t columns, std::uint64_t tokens, const MagnitudeSettings& settings);

  /// The first `count` rows of `batch`, the next ones in order.
  void add(const kernels::Matrix& batch, std::size_t count);

  /// After all tokens were added. Throws BadFileError naming `file` and the tensors that read the input,
  /// `readers`, where a NaN or an infinite element was among the rows.
  InputMagnitudes take(const std::string& file, std::span<const std::string> readers);

 private:
  void add_largest(const kernels::Matrix& batch, std::size_t count, std::size_t first, std::size_t last);
  void sample(const kernels::Matrix& batch, std::size_t count);

  std::size_t columns_;
  std::uint64_t tokens_;
  MagnitudeSettings settings_;
  std::size_t kept_;            ///< values per column
  std::vector<float> largest_;  ///< [columns, kept]: heaps with the least of the largest in front
  kernels::Matrix rows_;
  std::size_t sampled_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace tessera::stages
