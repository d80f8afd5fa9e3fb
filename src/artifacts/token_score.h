// How well each token of a text was predicted, and what these scores add up to: perplexity, KL divergence and
// their kin, as llama-perplexity defines them, so that figures compare.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// One scored token. Without a quantized model only the first field means anything.
struct TokenScore {
  float original_log_probability = 0;   ///< ln p of the token that came, nats
  float quantized_log_probability = 0;  ///< the same under the quantized model
  float kl_divergence = 0;              ///< of the quantized model's prediction from the original's, nats
  bool same_top = false;                ///< whether both hold the same token for the most probable
};

/// A figure and its standard error (one sigma), which treats the tokens as independent.
struct Estimate {
  double value = 0;
  double standard_error = 0;
};

/// exp of the mean negative log-likelihood. Its error is that of the mean, carried through the exponential.
/// Infinite when the mean is beyond the exponential's range. `scores` is not empty.
Estimate original_perplexity(std::span<const TokenScore> scores);
Estimate quantized_perplexity(std::span<const TokenScore> scores);

/// Where the sorted values of a distribution lie, interpolated linearly between two neighbours.
struct Quantiles {
  double median = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
  double p99_9 = 0;
  double maximum = 0;
};

/// Tokens whose KL divergence is at most `upper` and above the upper end of the bin before.
struct HistogramBin {
  double upper = 0;  ///< nats
  std::uint64_t tokens = 0;

  bool operator==(const HistogramBin&) const = default;
};

/// Four bins to a factor of ten: their upper ends are 10^(k/4), from 1e-6 to 1000 nats. The first and the
/// last also count what is below and above that; empty bins at both ends are left out.
std::vector<HistogramBin> kl_histogram_of(std::span<const TokenScore> scores);

/// What quantization did to the predictions.
struct PredictionChange {
  double perplexity_delta_pct = 0;  ///< 100 (quantized / original - 1)
  /// ln(quantized perplexity / original perplexity). The two are scored on the same tokens, so its error is
  /// far below that of either.
  Estimate perplexity_log_ratio;
  /// Correlation of the two models' log-probabilities; 1 when one of them is constant.
  double log_probability_correlation = 1;
  Estimate kl_divergence;  ///< mean, nats
  Quantiles kl_quantiles;
  std::vector<HistogramBin> kl_histogram = {};
  Estimate top_1_agreement_pct;  ///< share of tokens for which both models have the same favourite
  /// Change of the probability of the token that came, in percentage points: mean and root mean square.
  Estimate probability_change_mean_pct;
  Estimate probability_change_rms_pct;
};

/// `scores` is not empty and has both models.
PredictionChange prediction_change(std::span<const TokenScore> scores);

}  // namespace tessera
