// What calibration has seen: for every linear, a figure per input column, summed over tokens or windows; for
// stacked experts, of each of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// Of one linear with the weight [out, columns], or of stacked ones with [experts, out, columns]; those of an
/// expert are over the tokens that pass it.
struct ColumnStatistics {
  /// [experts, columns]: sum of what the method measures (docs/imatrix.md)
  std::vector<double> sums;
  /// [experts, columns]: largest magnitude of the input; empty where it was not observed
  std::vector<float> maxima;
  /// [experts]: what was summed: tokens, or windows for the method gradient; 1 element of dense linears
  std::vector<std::uint64_t> counts;

  /// [out]: the same, summed over the columns instead; only of walks that predict losses (method fisher)
  std::vector<double> row_sums = {};

  bool operator==(const ColumnStatistics&) const = default;
};

/// By the name of the weight tensor. Linears that read the same input have equal entries for activation.
using CalibrationStatistics = std::map<std::string, ColumnStatistics>;

/// The statistics as bytes, for checkpoints of a run on this machine; and back, empty when the bytes are
/// none.
std::vector<std::byte> to_bytes(const CalibrationStatistics& statistics);
std::optional<CalibrationStatistics> calibration_statistics_from(std::span<const std::byte> bytes);

}  // namespace tessera
