// Encodes the linears of one input with error feedback, from the moments of that input.
//
// Where the quantized model reads an input x of its own and the original one r, the least mean |W r - Q x|^2
// is that of the targets W' = W + W D H^-1 in the metric H (input_moments.h; asymmetric calibration:
// Li et al. 2025, GPTAQ, arXiv 2504.02692). H is damped, so that what calibration barely saw is corrected
// little. Where D is the mean over a part of the tokens, W' takes H from the same: what both owe to the
// choice of tokens cancels. Targets are rounded with error feedback (foundation/codecs/feedback-inl.h).
//
// A row keeps the plain encoding where that has the smaller error at the output on the calibration tokens:
// no tensor is worse there for feedback. Rather than encode every row twice, all rows of every
// kSampleEvery-th panel are compared. They say how small the plain encoding's error is at the least, as a
// share of the row's energy sum of H_ii w_i^2, and of the other rows those are compared whose error is above
// half of that share. The sample tells what feedback gains.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "artifacts/encoding_error.h"
#include "artifacts/feedback_outcome.h"
#include "artifacts/input_moments.h"
#include "foundation/base/stop_flag.h"
#include "foundation/codecs/feedback.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::stages {

struct FeedbackEncodeSettings {
  int sweeps = 2;  ///< of coordinate descent
  /// Added to the diagonal of H, as a share of its mean. 0.02 was best between 0.002 and 0.2.
  double damping = 0.02;
  /// The same of the H in D H^-1, a regression, which more damping keeps from learning noise. Best between
  /// 0.02 and 1.
  double drift_damping = 0.2;
  kernels::Precision precision = kernels::Precision::f32;  ///< of products with H
  int threads = 0;                                         ///< 0: all cores
};

/// Rows of a tensor that are to be encoded, at least one.
struct FeedbackRows {
  std::size_t tensor = 0;  ///< as numbered in the WeightSource
  RowRange rows;
};

/// Rows of a tensor, encoded; `decoded` is what they decode to.
struct EncodedRows {
  RowRange rows;
  std::span<const std::byte> blocks;
  std::span<const float> decoded;
};

/// Where encoded rows go; called from several threads, each row once.
using EncodedRowsSink = std::function<void(const EncodedRows&)>;

/// Rows of a tensor that are encoded to see what comes of it.
struct FeedbackTrial {
  std::size_t tensor = 0;               ///< as numbered in the WeightSource
  std::span<const std::uint64_t> rows;  ///< 1 to codecs::kFeedbackRows; one that stands twice counts twice
  ElementType type = ElementType::F16;  ///< a block format that fits the rows
};

class FeedbackEncoder {
 public:
  /// Factors the Hessian. `rows`: of all tensors that are going to be encoded together.
  FeedbackEncoder(InputMoments moments, std::uint64_t rows, const FeedbackEncodeSettings& settings);

  /// Encodes rows of a tensor of the source, which read the input, in `type`, a block format that fits them:
  /// all of a matrix, or those of one expert. The sink gets rows as the tensor numbers them. The result does
  /// not depend on the number of threads. Throws BadFileError for NaN or infinite weights, InterruptedError,
  /// and what the sink throws.
  FeedbackOutcome encode(const WeightSource& source, const FeedbackRows& rows, ElementType type,
                         const EncodedRowsSink& sink, const StopFlag& stop) const;

  /// Outcomes by trial, on tensors of the source that read the input. Throws as encode.
  std::vector<FeedbackOutcome> try_rows(const WeightSource& source, std::span<const FeedbackTrial> trials,
                                        const StopFlag& stop) const;

 private:
  struct Worker;
  struct PanelOutcome;
  using Workers = std::vector<std::unique_ptr<Worker>>;  ///< by thread; those that had no work yet are null

  void set_drift(std::span<const float> drift, std::uint64_t rows);
  Workers make_workers() const;
  /// Calls work(item, worker) for items [0, count), in parallel.
  template <class Work>
  void for_each(std::size_t count, Workers& workers, const StopFlag& stop, const Work& work) const;
  /// What the worker has read, into its blocks. Compares rows whose error is above `bound` of their energy;
  /// kAllRows makes the panel one of the sample.
  PanelOutcome encode_panel(ElementType type, std::size_t rows, double bound, Worker& worker) const;
  /// Encodes rows of the panel plainly and keeps what is better; their plain encodings' errors.
  std::vector<double> compare(ElementType type, std::span<const std::size_t> rows,
                              std::vector<double>& errors, Worker& worker) const;
  void set_targets(Worker& worker) const;
  /// Of each row, against the targets.
  std::vector<double> output_errors(const kernels::Matrix& decoded, Worker& worker) const;

  FeedbackEncodeSettings settings_;
  std::size_t columns_;
  std::vector<float> importance_;                     ///< diagonal of H without damping
  std::optional<codecs::DampedFactor> drift_factor_;  ///< of the H of drift's tokens; empty without D
  codecs::FeedbackMetric metric_;
  bool solved_ahead_ = false;             ///< whether drift_ has been multiplied by H^-1
  std::optional<kernels::Matrix> drift_;  ///< D^T or (D H^-1)^T; empty without D
};

}  // namespace tessera::stages
