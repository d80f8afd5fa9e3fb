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

  void add_columns(const LinearGradient& window, std::span<double> sums) {
    const std::size_t inputs = window.input->columns();
    const std::size_t outputs = window.output_gradient->columns();
    values.resize(std::max(values.size(), std::max(kTokensAtOnce * inputs, outputs)));
    energies.resize(kTokensAtOnce);
    for (std::size_t first = 0; first < window.input->rows(); first += kTokensAtOnce) {
      const std::size_t count = std::min(kTokensAtOnce, window.input->rows() - first);
      for (std::size_t t = 0; t < count; ++t) {
        const auto gradient = std::span(values).first(outputs);
        window.output_gradient->load(first + t, gradient);
        energies[t] = kernels::energy(gradient);
      }
      const auto input = std::span(values).first(count * inputs);
      window.input->load(first, input);
      kernels::add_weighted_column_squares(input, std::span(energies).first(count), sums);
    }
  }

  BlockProducts products;
  std::vector<float> values;    ///< rows of dY or X
  std::vector<float> energies;  ///< |dY_t|^2
};

FisherImportance::FisherImportance(const GradientStatisticsSettings& settings, FisherDetail detail)
    : settings_(settings), detail_(detail) {
  for (int i = 0; i < resolve_threads(settings.threads); ++i) workers_.emplace_back(settings.precision);
}

FisherImportance::~FisherImportance() = default;

void FisherImportance::linear_gradients(std::span<const LinearGradients> linears) {
  add_columns(linears);
  if (detail_ == FisherDetail::weights) add_weights(linears);
}

void FisherImportance::add_columns(std::span<const LinearGradients> linears) {
  for (const auto& gradients : linears) sums_[gradients.linear->tensor].resize(gradients.linear->inputs());
  parallel_for(linears.size(), settings_.threads, [&](std::size_t i, int worker) {
    auto& sums = sums_.at(linears[i].linear->tensor);
    for (const auto& window : linears[i].windows)
      workers_[static_cast<std::size_t>(worker)].add_columns(window, sums);
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

std::vector<double> FisherImportance::take(std::size_t tensor) {
  auto sums = std::move(sums_[tensor]);
  sums_.erase(tensor);
  return sums;
}

std::vector<float> FisherImportance::take_weights(std::size_t tensor) {
  auto weights = std::move(weights_[tensor]);
  weights_.erase(tensor);
  return weights;
}

}  // namespace tessera::model
