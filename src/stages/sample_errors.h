// What encoding a tensor in several types would cost, found by really encoding a sample of it.
//
// For a weight W [rows, columns] with row weights r and column weights c the error of a type is
//
//     e = sum_i r_i / R  sum_j c_j (W_ij - Y_ij)^2,    R = sum_i r_i,
//
// the expectation over a row drawn with probability r_i / R of its weighted squared error. Blocks of all
// types lie within 256 columns, so a row is cut into segments of as many, which are encoded alone: with C_k
// the column weights of segment k together and C = sum_k C_k, e is the expectation over a row drawn as above
// and a segment drawn with probability C_k / C of
//
//     C / C_k  sum_{j in k} c_j (W_ij - Y_ij)^2.
//
// Rows and segments are drawn exactly so, by systematic sampling (equally spaced points on the running sum of
// the weights, with a seeded offset), paired at random, and the mean over the draws is an unbiased estimate.
// Rows that are no multiple of 256 are one segment.
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
  /// Segments drawn per tensor. As many weights are encoded of a tensor of any size, so that all candidates
  /// together cost a few percent of encoding a model of some billion weights once, and less of larger ones.
  std::size_t draws = 64;
  std::uint64_t seed = 0;
  int threads = 0;  ///< 0: all cores
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;
};

/// The items that are drawn, ascending, an item as often as it was drawn: `draws` of `items`, in proportion
/// to `weights` (empty: all alike). `offset` is in [0, 1). Empty when all weights are 0.
std::vector<std::uint64_t> draw_in_proportion(std::uint64_t items, std::span<const double> weights,
                                              std::size_t draws, double offset);

/// By tensor and type; 0 for a tensor whose row weights are all 0. Does not depend on the number of threads.
/// Throws BadFileError for NaN or infinite weights, InterruptedError.
std::vector<std::vector<double>> sample_errors(const WeightSource& source,
                                               std::span<const SampledTensor> tensors,
                                               const SampleSettings& settings, ProgressObserver& progress,
                                               const StopFlag& stop);

}  // namespace tessera::stages
