// What calibration has seen: for every linear, its input columns over all tokens.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tessera {

/// Of the input x [tokens, columns] of one linear.
struct ColumnStatistics {
  std::vector<double> square_sums;  ///< [columns]: sum over tokens of x^2
  std::vector<float> maxima;        ///< [columns]: largest |x|
  std::uint64_t tokens = 0;

  bool operator==(const ColumnStatistics&) const = default;
};

/// By the name of the weight tensor. Linears that read the same input have equal entries.
using CalibrationStatistics = std::map<std::string, ColumnStatistics>;

}  // namespace tessera
