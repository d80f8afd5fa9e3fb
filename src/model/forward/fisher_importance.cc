#include "model/forward/fisher_importance.h"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "foundation/base/parallel.h"
#include "foundation/kernels/column_statistics.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::model {
namespace {

/// Tokens that are turned into float32 at a time: what column statistics add in float32.
constexpr std::size_t kTokensAtOnce = 128;

kernels::Matrix squared(const kernels::Matrix& matrix) {
  kernels::Matrix result(matrix.precision(), matrix.rows(), matrix.columns());
  std::vector<float> row(matrix.columns());
  for (std::size_t t = 0; t < matrix.rows(); ++t) {
    matrix.load(t, row);
    kernels::square(row);
    result.store(t, row);
  }
  return result;
}

/// The squares of one window of one linear.
struct SquaredGradient {
  kernels::Matrix input;
  kernels::Matrix output_gradient;
};

}  // namespace

struct FisherImportance::Worker {
  explicit Worker(kernels::Precision precision) : products(precision) {}

  /// `rows` are those of the outputs in question, or empty when no row sums are kept.
  void add_sums(const LinearGradient& window, std::span<double> columns, std::span<double> rows) {
    for (std::size_t first = 0; first < window.input->rows(); first += kTokensAtOnce) {
      const std::size_t count = std::min(kTokensAtOnce, window.input->rows() - first);
      const auto gradient = load(*window.output_gradient, first, count, gradients);
      const auto input = load(*window.input, first, count, inputs);
      kernels::add_weighted_column_squares(input, energies_of(gradient, count), columns);
      if (!rows.empty()) kernels::add_weighted_column_squares(gradient, energies_of(input, count), rows);
    }
  }

  static std::span<const float> load(const kernels::Matrix& matrix, std::size_t first, std::size_t count,
                                     std::vector<float>& buffer) {
    const std::size_t size = count * matrix.columns();
    if (buffer.size() < size) buffer.resize(size);
    const auto values = std::span(buffer).first(size);
    matrix.load(first, values);
    return values;
  }

  /// Of each of `count` rows.
  std::span<const float> energies_of(std::span<const float> values, std::size_t count) {
    energies.resize(count);
    for (std::size_t t = 0; t < count; ++t)
      energies[t] = kernels::energy(kernels::row_of(values, t, values.size() / count));
    return energies;
  }

  BlockProducts products;
  std::vector<float> gradients;  ///< rows of dY
  std::vector<float> inputs;     ///< rows of X
  std::vector<float> energies;   ///< |dY_t|^2 or |X_t|^2
};

FisherImportance::FisherImportance(const GradientStatisticsSettings& settings, FisherDetail detail)
    : settings_(settings), detail_(detail) {
  for (int i = 0; i < resolve_threads(settings.threads); ++i) workers_.emplace_back(settings.precision);
}

FisherImportance::~FisherImportance() = default;

void FisherImportance::linear_gradients(std::span<const LinearGradients> linears) {
  add_sums(linears);
  if (detail_ == FisherDetail::weights) add_weights(linears);
}

void FisherImportance::add_sums(std::span<const LinearGradients> linears) {
  const bool keeps_rows = detail_ == FisherDetail::marginals;
  for (const auto& gradients : linears) {
    auto& sums = sums_[gradients.linear->tensor];
    sums.columns.resize(gradients.linear->inputs());
    if (keeps_rows) sums.rows.resize(gradients.linear->weight.rows());
  }
  parallel_for(linears.size(), settings_.threads, [&](std::size_t i, int worker) {
    const auto& gradients = linears[i];
    auto& sums = sums_.at(gradients.linear->tensor);
    const auto rows = keeps_rows ? std::span(sums.rows).subspan(gradients.first_output, gradients.outputs())
                                 : std::span<double>();
    for (const auto& window : gradients.windows)
      workers_[static_cast<std::size_t>(worker)].add_sums(window, sums.columns, rows);
  });
}

void FisherImportance::add_weights(std::span<const LinearGradients> linears) {
  for (const auto& gradients : linears) {
    const auto& weight = gradients.linear->weight;
    weights_[gradients.linear->tensor].resize(weight.rows() * weight.columns());
  }
  const std::size_t windows = linears.front().windows.size();
  std::vector<SquaredGradient> squares(linears.size() * windows);
  parallel_for(squares.size(), settings_.threads, [&](std::size_t i, int) {
    const auto& window = linears[i / windows].windows[i % windows];
    squares[i] = {squared(*window.input), squared(*window.output_gradient)};
  });
  const auto blocks = output_blocks(linears);
  parallel_for(blocks.size(), settings_.threads, [&](std::size_t i, int worker) {
    const auto& block = blocks[i];
    const auto linear = static_cast<std::size_t>(block.gradients - linears.data());
    const std::size_t columns = block.gradients->linear->inputs();
    const auto result = std::span(weights_.at(block.gradients->linear->tensor))
                            .subspan(block.weight_row() * columns, block.rows * columns);
    for (const auto& window : std::span(squares).subspan(linear * windows, windows)) {
      workers_[static_cast<std::size_t>(worker)].products.multiply(block, window.output_gradient,
                                                                   window.input, true, result);
    }
  });
}

FisherSums FisherImportance::take(std::size_t tensor) {
  auto sums = std::move(sums_[tensor]);
  sums_.erase(tensor);
  return sums;
}

FisherSums embedding_fisher(const HiddenStates& gradients, std::span<const std::int32_t> tokens,
                            std::size_t vocabulary) {
  const std::size_t width = gradients.embedding();
  FisherSums sums{std::vector<double>(width), std::vector<double>(vocabulary)};
  std::vector<float> rows(kTokensAtOnce * width);
  for (std::size_t window = 0; window < gradients.windows(); ++window) {
    for (std::size_t first = 0; first < gradients.context(); first += kTokensAtOnce) {
      const std::size_t count = std::min(kTokensAtOnce, gradients.context() - first);
      const auto values = std::span(rows).first(count * width);
      gradients.load(window, first, values);
      kernels::add_column_squares(values, width, sums.columns);
      for (std::size_t t = 0; t < count; ++t) {
        const auto token = static_cast<std::size_t>(tokens[window * gradients.context() + first + t]);
        sums.rows[token] +=
            double{kernels::energy(kernels::row_of(std::span<const float>(values), t, width))};
      }
    }
    gradients.release(window);
  }
  return sums;
}

std::vector<float> FisherImportance::take_weights(std::size_t tensor) {
  auto weights = std::move(weights_[tensor]);
  weights_.erase(tensor);
  return weights;
}

}  // namespace tessera::model
