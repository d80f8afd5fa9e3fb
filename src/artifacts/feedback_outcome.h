// What error feedback made of one tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "artifacts/encoding_error.h"

namespace tessera {

struct FeedbackOutcome {
  EncodingError error;
  /// Sums over rows of the mean squared error at the output, on the calibration tokens, against the targets:
  double output_error = 0;          ///< of all rows
  double sampled_output_error = 0;  ///< of the sample, rows that were all encoded plainly as well
  double plain_output_error = 0;    ///< of the plain encoding of the sample
  std::uint64_t rows = 0;
  std::uint64_t plain_rows = 0;  ///< that kept the plain encoding, being better
  double damping = 0;            ///< as used; the largest where parts differ
  /// Of a tensor that stacks experts: those that too few tokens passed, encoded with the statistics of all
  /// experts of their layer. Ascending.
  std::vector<std::uint64_t> shared_experts = {};

  /// Output error as a share of the plain encoding's, by the sample.
  double ratio() const { return plain_output_error > 0 ? sampled_output_error / plain_output_error : 1; }

  /// Joins the outcome of further rows of the same tensor.
  FeedbackOutcome& operator+=(const FeedbackOutcome& other);
};

/// By number of the tensor in a plan.
using FeedbackOutcomes = std::map<std::size_t, FeedbackOutcome>;

/// All of them as JSON, for checkpoints; and back, to the bit. Throws BadFileError naming `file` for what
/// to_text did not make, and for tensors that a plan of so many does not have.
std::string to_text(const FeedbackOutcomes& outcomes);
FeedbackOutcomes parse_feedback_outcomes(std::span<const std::byte> bytes, std::size_t tensors,
                                         const std::string& file);

}  // namespace tessera
