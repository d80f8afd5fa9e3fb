// What a row of logits says about the next token, and how far the rows of two models are apart.
//
// With logits x and their probabilities p_i = e^x_i / sum e^x. A row is walked in float32 lanes whose sums
// are brought together in float64 every few thousand tokens, so large vocabularies lose nothing. A NaN or an
// infinity in a row makes its log_sum_exp a NaN or an infinity; the rest means nothing then.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace tessera::kernels {

/// Sum of e^x over a row, kept from overflow.
struct ExponentialSum {
  float maximum = 0;  ///< of the row
  double sum = 0;     ///< of e^(x - maximum)

  double logarithm() const { return double{maximum} + std::log(sum); }
};

struct LogitStatistics {
  double log_sum_exp = 0;             ///< ln sum e^x
  double target_log_probability = 0;  ///< ln p of the token that does come next, nats
  std::size_t top = 0;                ///< most probable token; the first of equal ones
};

struct LogitComparison {
  LogitStatistics original;
  LogitStatistics quantized;
  /// sum p ln(p / q), nats; not negative. Computed as sum p (e^-d - 1 + d) with d = ln(p / q), whose terms
  /// are of second order where p is near q: it keeps 5 digits where the usual sum would be all rounding.
  double kl_divergence = 0;
};

/// `logits` is [vocabulary], not empty; `target` is below its size.
LogitStatistics logit_statistics(std::span<const float> logits, std::size_t target);

/// Rows of the original and of the quantized model at one position, both [vocabulary].
LogitComparison compare_logits(std::span<const float> original, std::span<const float> quantized,
                               std::size_t target);

}  // namespace tessera::kernels
