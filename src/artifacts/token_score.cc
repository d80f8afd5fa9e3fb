#include "artifacts/token_score.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <vector>

namespace tessera {
namespace {

/// Mean and its standard error of value_of(score). Two passes, in order: no cancellation, the same bits every
/// time.
template <class ValueOf>
Estimate mean_of(std::span<const TokenScore> scores, const ValueOf& value_of) {
  const auto count = static_cast<double>(scores.size());
  double sum = 0;
  for (const auto& score : scores) sum += value_of(score);
  const double mean = sum / count;
  double squares = 0;
  for (const auto& score : scores) squares += (value_of(score) - mean) * (value_of(score) - mean);
  return {mean, scores.size() > 1 ? std::sqrt(squares / count / (count - 1)) : 0.0};
}

double original_log_probability(const TokenScore& score) { return score.original_log_probability; }
double quantized_log_probability(const TokenScore& score) { return score.quantized_log_probability; }

Estimate perplexity_of(const Estimate& log_probability) {
  const double perplexity = std::exp(-log_probability.value);
  return {perplexity, perplexity * log_probability.standard_error};
}

/// Quotient of the covariance of the means by both standard errors.
double correlation(std::span<const TokenScore> scores, const Estimate& original, const Estimate& quantized) {
  if (original.standard_error == 0 || quantized.standard_error == 0) return 1;
  const auto count = static_cast<double>(scores.size());
  double products = 0;
  for (const auto& score : scores) {
    products += (score.original_log_probability - original.value) *
                (score.quantized_log_probability - quantized.value);
  }
  return products / count / (count - 1) / (original.standard_error * quantized.standard_error);
}

/// The value below which `share` of the sorted values lie.
double quantile(std::span<const float> sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = place - static_cast<double>(below);
  return (1 - part) * sorted[below] + part * sorted[above];
}

Quantiles kl_quantiles_of(std::span<const TokenScore> scores) {
  std::vector<float> values;
  values.reserve(scores.size());
  for (const auto& score : scores) values.push_back(score.kl_divergence);
  std::ranges::sort(values);
  return {.median = quantile(values, 0.5),
          .p90 = quantile(values, 0.9),
          .p95 = quantile(values, 0.95),
          .p99 = quantile(values, 0.99),
          .p99_9 = quantile(values, 0.999),
          .maximum = values.back()};
}

constexpr int kBinsPerDecade = 4;
constexpr int kFirstBin = -6 * kBinsPerDecade;
constexpr int kLastBin = 3 * kBinsPerDecade;

double upper_end(int bin) { return std::pow(10.0, static_cast<double>(bin) / kBinsPerDecade); }

/// The lowest bin whose upper end is not below `value`. The logarithm is rounded, so the ends themselves
/// decide.
int bin_of(double value) {
  if (!(value > upper_end(kFirstBin))) return kFirstBin;
  if (value > upper_end(kLastBin)) return kLastBin;
  int bin = static_cast<int>(std::ceil(kBinsPerDecade * std::log10(value)));
  if (value > upper_end(bin)) ++bin;
  if (value <= upper_end(bin - 1)) --bin;
  return std::clamp(bin, kFirstBin, kLastBin);
}

double probability_change_pct(const TokenScore& score) {
  return 100 * (std::exp(double{score.quantized_log_probability}) -
                std::exp(double{score.original_log_probability}));
}

/// The error of a root follows from that of the mean square by its derivative.
Estimate root_mean_square_change_pct(std::span<const TokenScore> scores) {
  const Estimate square = mean_of(scores, [](const TokenScore& score) {
    const double change = probability_change_pct(score);
    return change * change;
  });
  const double root = std::sqrt(square.value);
  return {root, root > 0 ? square.standard_error / (2 * root) : 0.0};
}

}  // namespace

Estimate original_perplexity(std::span<const TokenScore> scores) {
  assert(!scores.empty());
  return perplexity_of(mean_of(scores, original_log_probability));
}

Estimate quantized_perplexity(std::span<const TokenScore> scores) {
  assert(!scores.empty());
  return perplexity_of(mean_of(scores, quantized_log_probability));
}

std::vector<HistogramBin> kl_histogram_of(std::span<const TokenScore> scores) {
  std::vector<HistogramBin> bins;
  for (int bin = kFirstBin; bin <= kLastBin; ++bin) bins.push_back({upper_end(bin), 0});
  for (const auto& score : scores)
    ++bins[static_cast<std::size_t>(bin_of(score.kl_divergence) - kFirstBin)].tokens;
  const auto is_empty = [](const HistogramBin& bin) { return bin.tokens == 0; };
  while (!bins.empty() && is_empty(bins.back())) bins.pop_back();
  bins.erase(bins.begin(), std::ranges::find_if_not(bins, is_empty));
  return bins;
}

PredictionChange prediction_change(std::span<const TokenScore> scores) {
  assert(!scores.empty());
  PredictionChange change;
  change.perplexity_log_ratio = mean_of(scores, [](const TokenScore& score) {
    return original_log_probability(score) - quantized_log_probability(score);
  });
  change.perplexity_delta_pct = 100 * std::expm1(change.perplexity_log_ratio.value);
  change.log_probability_correlation = correlation(scores, mean_of(scores, original_log_probability),
                                                   mean_of(scores, quantized_log_probability));
  change.kl_divergence = mean_of(scores, [](const TokenScore& score) { return double{score.kl_divergence}; });
  change.kl_quantiles = kl_quantiles_of(scores);
  change.kl_histogram = kl_histogram_of(scores);
  change.top_1_agreement_pct =
      mean_of(scores, [](const TokenScore& score) { return score.same_top ? 100.0 : 0.0; });
  change.probability_change_mean_pct = mean_of(scores, probability_change_pct);
  change.probability_change_rms_pct = root_mean_square_change_pct(scores);
  return change;
}

}  // namespace tessera
