// Shared by tests of error feedback: Hessians of random inputs, encoding under them, and the cost of an
// encoding in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <map>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "codecs/codec_testing.h"
#include "foundation/codecs/feedback.h"

namespace tessera::codecs {

/// Every codec of a format with blocks.
inline std::vector<const Codec*> block_codecs() {
  std::vector<const Codec*> result;
  std::ranges::copy_if(all_codecs(), std::back_inserter(result),
                       [](const Codec* codec) { return info(codec->type()).block_weights > 1; });
  return result;
}

/// How the columns of a linear's input hang together.
enum class Inputs {
  neighbours,         ///< AR(1) with coefficient 0.9 from column to column, scales over a factor of 4
  low_rank,           ///< columns / 16 sources in all columns, and noise of a tenth of their energy
  weakly_correlated,  ///< AR(1) with coefficient 0.3
};

/// Tokens of inputs, [tokens, columns].
inline std::vector<float> random_inputs(Inputs inputs, std::size_t tokens, std::size_t columns) {
  std::mt19937 random(3);
  // Sums of uniform integers instead of std::normal_distribution, whose values differ between libraries.
  const auto normal = [&] {
    float sum = 0;
    for (int i = 0; i < 3; ++i) sum += static_cast<float>(random() % 65536u) / 32768.0f - 1.0f;
    return sum;
  };
  std::vector<float> result(tokens * columns);
  const std::size_t sources = columns / 16;
  std::vector<float> mixture(sources * columns), source(sources);
  for (float& value : mixture) value = normal() / std::sqrt(static_cast<float>(sources));
  const float memory = inputs == Inputs::neighbours ? 0.9f : 0.3f;
  for (std::size_t token = 0; token < tokens; ++token) {
    float* x = result.data() + token * columns;
    for (float& value : source) value = normal();
    float previous = normal();
    for (std::size_t c = 0; c < columns; ++c) {
      if (inputs == Inputs::low_rank) {
        x[c] = 0.3f * normal();
        for (std::size_t s = 0; s < sources; ++s) x[c] += source[s] * mixture[s * columns + c];
      } else {
        previous = memory * previous + std::sqrt(1 - memory * memory) * normal();
        x[c] = previous * std::exp2(static_cast<float>(c * 37 % 101) / 50.0f - 1.0f);
      }
    }
  }
  return result;
}

/// The mean of x x^T over tokens [tokens, columns].
inline std::vector<float> second_moments(std::span<const float> inputs, std::size_t columns) {
  const std::size_t tokens = inputs.size() / columns;
  std::vector<float> result(columns * columns);
  for (std::size_t token = 0; token < tokens; ++token) {
    const float* x = inputs.data() + token * columns;
    for (std::size_t i = 0; i < columns; ++i) {
      for (std::size_t j = 0; j <= i; ++j) result[i * columns + j] += x[i] * x[j];
    }
  }
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      result[j * columns + i] = result[i * columns + j] /= static_cast<float>(tokens);
    }
  }
  return result;
}

/// Of 3 * columns random tokens; computed once.
inline const std::vector<float>& hessian_of(Inputs inputs, std::size_t columns) {
  static std::map<std::pair<Inputs, std::size_t>, std::vector<float>> known;
  auto& hessian = known[{inputs, columns}];
  if (hessian.empty()) hessian = second_moments(random_inputs(inputs, 3 * columns, columns), columns);
  return hessian;
}

inline std::vector<float> diagonal_of(std::span<const float> hessian) {
  const auto columns = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(hessian.size()))));
  std::vector<float> diagonal(columns);
  for (std::size_t i = 0; i < columns; ++i) diagonal[i] = hessian[i * (columns + 1)];
  return diagonal;
}

/// The Hessian that a metric in float32 works with.
inline std::vector<float> damped_hessian(const FeedbackMetric& metric) {
  std::vector<float> result(metric.columns() * metric.columns());
  metric.hessian().load(0, result);
  return result;
}

/// Every `period`-th column was 0 in all tokens.
inline std::vector<float> with_dead_columns(std::vector<float> hessian, std::size_t columns,
                                            std::size_t period) {
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      if (i % period == 0 || j % period == 0) hessian[i * columns + j] = 0;
    }
  }
  return hessian;
}

/// Column c scaled by scale(c) in all tokens.
template <class Scale>
std::vector<float> with_column_scales(std::vector<float> hessian, std::size_t columns, const Scale& scale) {
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      hessian[i * columns + j] = static_cast<float>(hessian[i * columns + j] * scale(i) * scale(j));
    }
  }
  return hessian;
}

/// Positive semidefinite matrices that cannot be factored, or hardly, without damping.
inline std::vector<std::pair<std::string, std::vector<float>>> degenerate_hessians(std::size_t columns) {
  const auto& full = hessian_of(Inputs::neighbours, columns);
  const auto of_tokens = [&](std::size_t tokens) {
    return second_moments(random_inputs(Inputs::neighbours, tokens, columns), columns);
  };
  std::vector<float> one_dead = full;
  for (std::size_t i = 0; i < columns; ++i) one_dead[7 * columns + i] = one_dead[i * columns + 7] = 0;
  return {
      {"all zero", std::vector<float>(columns * columns)},
      {"one dead column", one_dead},
      {"every third column dead", with_dead_columns(full, columns, 3)},
      {"one token", of_tokens(1)},
      {"fewer tokens than columns", of_tokens(columns / 8)},
      {"fewer tokens than columns, tiny",
       with_column_scales(of_tokens(columns / 8), columns, [](std::size_t) { return 1e-6; })},
      {"fewer tokens than columns, huge",
       with_column_scales(of_tokens(columns / 8), columns, [](std::size_t) { return 1e6; })},
      {"columns from 1e-6 to 1e6",
       with_column_scales(full, columns,
                          [&](std::size_t c) {
                            return std::pow(10.0, 12.0 * static_cast<double>(c * 7 % columns) /
                                                          static_cast<double>(columns) -
                                                      6.0);
                          })},
      {"one column of all the energy",
       with_column_scales(full, columns, [](std::size_t c) { return c == 9 ? 1e5 : 1.0; })},
  };
}

inline std::vector<std::byte> encode_with_feedback(const Codec& codec, std::span<const float> weights,
                                                   const FeedbackMetric& metric, int sweeps = 2) {
  const FeedbackInput input{weights, metric, sweeps};
  std::vector<std::byte> blocks(input.rows() * row_bytes(codec.type(), input.columns()));
  kernels::MatrixProducts products;
  codec.encode_with_feedback(input, products, blocks);
  return blocks;
}

inline std::vector<float> reconstruct_with_feedback(const Codec& codec, std::span<const float> weights,
                                                    const FeedbackMetric& metric, int sweeps = 2) {
  std::vector<float> decoded(weights.size());
  codec.decode(encode_with_feedback(codec, weights, metric, sweeps), decoded);
  return decoded;
}

/// tr(E H E^T) with E = x - y, in float64.
inline double cost(std::span<const float> x, std::span<const float> y, std::span<const float> hessian) {
  const auto columns = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(hessian.size()))));
  std::vector<double> error(columns);
  double total = 0;
  for (std::size_t row = 0; row < x.size() / columns; ++row) {
    for (std::size_t c = 0; c < columns; ++c) {
      error[c] = double{x[row * columns + c]} - double{y[row * columns + c]};
    }
    for (std::size_t i = 0; i < columns; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < columns; ++j) sum += double{hessian[i * columns + j]} * error[j];
      total += error[i] * sum;
    }
  }
  return total;
}

}  // namespace tessera::codecs
