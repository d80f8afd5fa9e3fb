// What calibration has seen: for every linear, a figure per input column, summed over tokens or windows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// Of one linear with the weight [out, columns].
struct ColumnStatistics {
  /// [columns]: sum of what the method measures (docs/imatrix.md)
  std::vector<double> sums;
  std::vector<float> maxima;  ///< [columns]: largest magnitude of the input; empty where it was not observed
  std::uint64_t count = 0;    ///< what was summed: tokens, or windows for the method gradient

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
