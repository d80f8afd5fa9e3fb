#include "model/forward/gradient_importance.h"

#include <algorithm>
#include <span>

#include "foundation/base/parallel.h"
#include "foundation/kernels/column_statistics.h"

namespace tessera::model {
namespace {

/// Rows of a weight that are turned into float32 at a time: what column statistics add in float32.
constexpr std::size_t kWeightRows = 128;

}  // namespace

struct GradientImportance::Worker {
  explicit Worker(kernels::Precision precision) : products(precision) {}

  void add(const OutputBlock& block, std::span<double> sums) {
    const auto& weight = block.gradients->linear->weight;
    const std::size_t columns = weight.columns();
    gradient.resize(std::max(gradient.size(), block.rows * columns));
    values.resize(std::max(values.size(), kWeightRows * columns));
    for (const auto& window : block.gradients->windows) {
      const auto result = std::span(gradient).first(block.rows * columns);
      products.multiply(block, *window.output_gradient, *window.input, false, result);
      for (std::size_t row = 0; row < block.rows; row += kWeightRows) {
        const std::size_t count = std::min(kWeightRows, block.rows - row) * columns;
        const auto part = std::span(values).first(count);
        weight.load(block.weight_row() + row, part);
        kernels::add_column_product_magnitudes(result.subspan(row * columns, count), part, sums);
      }
    }
  }

  BlockProducts products;
  std::vector<float> gradient;  ///< G of the block, [rows, in]
  std::vector<float> values;    ///< rows of W, [kWeightRows, in]
};

GradientImportance::GradientImportance(const GradientStatisticsSettings& settings) : settings_(settings) {
  for (int i = 0; i < resolve_threads(settings.threads); ++i) workers_.emplace_back(settings.precision);
}

GradientImportance::~GradientImportance() = default;

void GradientImportance::linear_gradients(std::span<const LinearGradients> linears) {
  for (const auto& gradients : linears) {
    auto& sums = sums_[gradients.linear->tensor];
    sums.resize(count_blocks(*gradients.linear));
  }
  const auto blocks = output_blocks(linears);
  parallel_for(blocks.size(), settings_.threads, [&](std::size_t i, int worker) {
    const auto& linear = *blocks[i].gradients->linear;
    auto& sums = sums_.at(linear.tensor)[blocks[i].index()];
    sums.resize(linear.inputs());
    workers_[static_cast<std::size_t>(worker)].add(blocks[i], sums);
  });
}

std::vector<double> GradientImportance::take(std::size_t tensor) {
  std::vector<double> total;
  for (const auto& block : sums_[tensor]) {
    total.resize(std::max(total.size(), block.size()));
    for (std::size_t column = 0; column < block.size(); ++column) total[column] += block[column];
  }
  sums_.erase(tensor);
  return total;
}

}  // namespace tessera::model
