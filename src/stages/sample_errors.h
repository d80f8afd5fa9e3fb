// What encoding a tensor in several types would cost, found by really encoding a sample of its rows.
//
// For a weight W [rows, columns] with row weights r and column weights c the error of a type is
//
//     e = sum_i r_i / R  sum_j c_j (W_ij - Y_ij)^2,    R = sum_i r_i,
//
// the expectation over a row drawn with probability r_i / R of its weighted squared error. Rows are drawn
// exactly so, by systematic sampling (equally spaced points on the running sum of r, with a seeded offset),
// and the mean over the draws is an unbiased estimate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "artifacts/importance_matrix.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/codecs/encoder.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::stages {

struct SampledTensor {
  std::size_t tensor = 0;                        ///< as numbered in the WeightSource
  std::vector<ElementType> types;                ///< each fits the rows
  std::span<const double> row_weights = {};      ///< [rows], not negative; empty: all alike
  std::span<const double> column_weights = {};   ///< [columns], not negative; empty: all 1
  const TensorImportance* importance = nullptr;  ///< for the encoder; null: none
};

struct SampleSettings {
  /// Draws per tensor: this share of its rows, at least so many. All candidates together then cost a few
  /// percent of encoding a large model once.
  double row_share = 1.0 / 256;
  std::size_t least_draws = 32;
  std::uint64_t seed = 0;
  int threads = 0;  ///< 0: all cores
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;
};

/// The rows that are drawn, ascending, a row as often as it was drawn. Empty when all weights are 0.
std::vector<std::uint64_t> draw_rows(std::uint64_t rows, std::span<const double> row_weights,
                                     std::size_t draws, double offset);

/// By tensor and type; 0 for a tensor whose row weights are all 0. Does not depend on the number of threads.
/// Throws BadFileError for NaN or infinite weights, InterruptedError.
std::vector<std::vector<double>> sample_errors(const WeightSource& source,
                                               std::span<const SampledTensor> tensors,
                                               const SampleSettings& settings, ProgressObserver& progress,
                                               const StopFlag& stop);

}  // namespace tessera::stages
