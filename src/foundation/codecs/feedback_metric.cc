#include "foundation/codecs/feedback_metric.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "foundation/base/error.h"
#include "foundation/kernels/squared_error.h"

namespace tessera::codecs {
namespace {

constexpr double kLeastMean = 1e-30;
constexpr double kLeastRaisedDamping = 1e-6, kLargestDamping = 1000;

void require_finite(std::span<const float> hessian, std::size_t columns) {
  const auto bad = kernels::find_non_finite(hessian);
  if (!bad) return;
  throw Error(fmt::format(
      "the inputs' second moment of columns {} and {} is {}: the model's activations overflow, or a weight "
      "before this linear is damaged",
      *bad / columns, *bad % columns, hessian[*bad]));
}

double mean_diagonal(std::span<const float> matrix, std::size_t size) {
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += matrix[i * size + i];
  return sum / static_cast<double>(size);
}

}  // namespace

FeedbackMetric::FeedbackMetric(std::vector<float> hessian, std::size_t columns, double damping,
                               kernels::Precision precision)
    : columns_(columns), damping_(damping) {
  assert(hessian.size() == columns * columns && damping >= 0);
  require_finite(hessian, columns);
  double mean = mean_diagonal(hessian, columns);
  if (!(mean >= kLeastMean)) mean = 1;
  const auto add_to_diagonal = [&](double value) {
    for (std::size_t i = 0; i < columns; ++i) hessian[i * columns + i] += static_cast<float>(value);
    added_ += value;
  };
  add_to_diagonal(damping_ * mean);
  while (!(factor_ = kernels::UpperFactor::of(hessian, columns))) {
    const double raised = std::max(10 * damping_, kLeastRaisedDamping);
    if (raised > kLargestDamping) {
      throw Error(
          fmt::format("the inputs' second moments are not positive definite with a damping of {}", damping_));
    }
    add_to_diagonal((raised - damping_) * mean);
    damping_ = raised;
  }
  store_hessian(hessian, precision);
  if (precision == kernels::Precision::f32) return;
  for (std::size_t panel = 0; panel < panels(); ++panel) {
    const auto& exact = factor_->before(panel);
    auto& rounded = before_.emplace_back(precision, exact.rows(), exact.columns());
    std::vector<float> row(exact.columns());
    for (std::size_t k = 0; k < exact.rows() && !row.empty(); ++k) {
      exact.load(k, row);
      rounded.store(k, row);
    }
  }
}

void FeedbackMetric::store_hessian(std::span<const float> hessian, kernels::Precision precision) {
  hessian_ = kernels::Matrix(precision, columns_, columns_);
  hessian_.store(0, hessian);
  for (std::size_t i = 0; i < columns_; ++i) {
    diagonal_.push_back(hessian[i * columns_ + i]);
    const auto row = hessian.subspan(i * columns_, columns_);
    is_diagonal_ = is_diagonal_ && std::ranges::count(row, 0.0f) == static_cast<std::ptrdiff_t>(columns_ - 1);
  }
  for (std::size_t panel = 0; panel < panels(); ++panel) {
    const std::size_t first = panel * kPanelColumns, width = panel_columns(panel);
    auto& block = diagonal_blocks_.emplace_back(width * width);
    for (std::size_t k = 0; k < width; ++k) {
      std::copy_n(hessian.data() + (first + k) * columns_ + first, width, block.data() + k * width);
    }
  }
}

}  // namespace tessera::codecs
