// Super weights by coverage: the top share of all weights by a score of importance, exact, in one pass.
//
//   score = |w| f      f: the root mean square of what the weight is multiplied with, or of its gradient
//
// A share c of N weights is the k = max(1, floor(c N)) largest scores; of equal scores the earlier weight
// counts first: in the order of tensors, rows, columns. The pass keeps the best k weights seen so far (and as
// many again before it prunes), so memory does not grow with the model beyond k. The result does not depend
// on the number of threads.
//
// The fence. In a share that is the same for every model, most weights may be ordinary. With m the median and
// q the upper quartile of all scores above 0, scores below
//
//   q (q / m)^3
//
// are no outliers, and the share is cut there: Tukey's outer fence ("Exploratory Data Analysis", 1977, three
// spreads beyond the quartile), of the logarithms of scores, with the upper half's spread q / m; normally
// distributed weights have it at 5.7 standard deviations. Quantiles are taken to the upper 16 bits of a
// float32, within 0.8 % below: the element number floor(n / 2), or floor(3 n / 4), of n in ascending order,
// counted from 0, with its lower 16 bits set to 0. Scores of 0 are never super weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "artifacts/super_weight.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/imatrix/fisher_reader.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::stages {

struct CoverageSettings {
  double coverage = 1e-4;    ///< above 0, at most kMostCoverage
  bool cut_at_fence = true;  ///< see above
  int threads = 0;           ///< 0: all cores
};

inline constexpr double kMostCoverage = 0.05;

/// How one tensor is scored.
struct ScoredTensor {
  std::size_t tensor = 0;  ///< of the source
  /// [matrices, columns]: f of every column, finite and not negative; empty: 1
  std::vector<float> column_factors = {};
  /// f is the root of the diagonal that `fisher` has of this tensor, instead
  bool per_weight = false;
};

struct CoverageJob {
  const WeightSource& source;
  std::vector<ScoredTensor> tensors;              ///< in the order of the source; the weights considered
  const imatrix::FisherReader* fisher = nullptr;  ///< where a tensor is scored by weight
};

struct CoverageFinding {
  CoverageOutcome outcome;           ///< `score` is left empty
  std::vector<SuperWeight> weights;  ///< best first
};

/// Throws UsageError for a coverage out of range, BadFileError for NaN or infinite weights (tensor, row and
/// column are named), InterruptedError.
CoverageFinding scan_coverage(const CoverageJob& job, const CoverageSettings& settings,
                              ProgressObserver& progress, const StopFlag& stop);

/// UsageError saying what to do unless it is above 0 and at most kMostCoverage.
void require_coverage(double coverage);

/// |weight| by the root mean square of the other weights of its block of `row`; empty where all are 0.
std::optional<double> block_ratio(std::span<const float> row, std::size_t column);

}  // namespace tessera::stages
