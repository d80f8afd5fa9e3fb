// What error feedback made of one tensor.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
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

/// All of it, for checkpoints; and back. Throws nlohmann::json::exception on what to_json did not make.
nlohmann::json to_json(const FeedbackOutcome& outcome);
FeedbackOutcome feedback_outcome_of(const nlohmann::json& json);

}  // namespace tessera
