#include "foundation/codecs/feedback_metric.h"

#include <algorithm>

namespace tessera::codecs {

FeedbackMetric::FeedbackMetric(std::vector<float> hessian, std::size_t columns,
                               const FeedbackMetricSettings& settings)
    : columns_(columns), factor_(factor_damped(hessian, columns, settings.damping, settings.threads)) {
  const auto precision = settings.precision;
  store_hessian(hessian, precision);
  if (precision == kernels::Precision::f32) return;
  for (std::size_t panel = 0; panel < panels(); ++panel) {
    const auto& exact = factor().before(panel);
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
