#include "stages/choose_smoothing/w8a8_trial.h"

#include <algorithm>
#include <cmath>

#include "foundation/codecs/decode_finite.h"
#include "foundation/kernels/int8_codes.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::stages {

using kernels::Matrix;
using kernels::row_of;

namespace {

constexpr std::uint64_t kPanelRows = 128;
constexpr float kLargestCode = 127;

/// x <- the codes of x, as floats.
void round_to_codes(std::span<float> x, float scale, std::vector<std::int8_t>& codes) {
  codes.resize(x.size());
  kernels::quantize_row(x, scale, codes);
  std::ranges::copy(codes, x.begin());
}

}  // namespace

std::vector<float> W8A8Trial::weight_maxima() {
  std::vector<float> maxima(input_.channels);
  for (const std::size_t reader : input_.readers) {
    const std::size_t panels = panels_of(reader);
    std::vector<std::vector<float>> of_panels(panels);
    parallel_for(panels, settings_.threads, [&](std::size_t panel, int worker) {
      of_panels[panel] = column_maxima(read(reader, panel, workers_[static_cast<std::size_t>(worker)]));
    });
    for (const auto& columns : of_panels) fold_maxima(columns, maxima);
  }
  return maxima;
}

std::vector<float> W8A8Trial::input_maxima() const {
  std::vector<float> maxima(input_.channels);
  fold_maxima(input_.magnitudes.maxima, maxima);
  return maxima;
}

SmoothingCandidate W8A8Trial::candidate(std::optional<double> alpha, std::vector<double> scales) const {
  SmoothingCandidate result{
      .alpha = alpha, .scales = std::move(scales), .factors = {}, .codes = {}, .code_scales = {}};
  for (std::size_t c = 0; c < columns_; ++c)
    result.factors.push_back(static_cast<float>(result.scales[channel(c)]));
  quantize_rows(result);
  return result;
}

std::vector<TrialErrors> W8A8Trial::run(std::span<const SmoothingCandidate> candidates) {
  std::vector<TrialErrors> totals;
  for (const std::size_t reader : input_.readers) {
    std::vector<TrialErrors> panels(panels_of(reader));
    parallel_for(panels.size(), settings_.threads, [&](std::size_t panel, int worker) {
      stop_.check();
      panels[panel] = try_panel(reader, panel, candidates, workers_[static_cast<std::size_t>(worker)]);
    });
    totals.push_back(sum_of(panels));
  }
  return totals;
}

void W8A8Trial::fold_maxima(std::span<const float> columns, std::span<float> channels) const {
  for (std::size_t c = 0; c < columns.size(); ++c)
    channels[channel(c)] = std::max(channels[channel(c)], columns[c]);
}

std::size_t W8A8Trial::panels_of(std::size_t reader) const {
  return static_cast<std::size_t>((source_.tensors()[reader].rows() + kPanelRows - 1) / kPanelRows);
}

std::span<const float> W8A8Trial::read(std::size_t reader, std::size_t panel, Worker& worker) const {
  const RowRange rows{panel * kPanelRows,
                      std::min(kPanelRows, source_.tensors()[reader].rows() - panel * kPanelRows)};
  worker.weights.resize(rows.count * columns_);
  codecs::decode_finite(source_, reader, rows.first * columns_,
                        source_.stored_rows(reader, rows, worker.stored), worker.weights);
  source_.discard(reader, rows);
  return worker.weights;
}

std::vector<float> W8A8Trial::column_maxima(std::span<const float> weights) const {
  std::vector<float> maxima(columns_);
  for (std::size_t i = 0; i < weights.size(); ++i)
    maxima[i % columns_] = std::max(maxima[i % columns_], std::abs(weights[i]));
  return maxima;
}

void W8A8Trial::quantize_rows(SmoothingCandidate& candidate) const {
  const Matrix& rows = input_.magnitudes.rows;
  candidate.codes = Matrix(rows.precision(), rows.rows(), columns_);
  std::vector<float> row(columns_);
  std::vector<std::int8_t> codes;
  float static_scale = 0;
  for (std::size_t c = 0; c < columns_; ++c)
    static_scale = std::max(static_scale, input_.magnitudes.maxima[c] / candidate.factors[c] / kLargestCode);
  for (std::size_t r = 0; r < rows.rows(); ++r) {
    rows.load(r, row);
    for (std::size_t c = 0; c < columns_; ++c) row[c] /= candidate.factors[c];
    candidate.code_scales.push_back(settings_.static_activations ? static_scale
                                                                 : kernels::symmetric_scale(row));
    round_to_codes(row, candidate.code_scales.back(), codes);
    candidate.codes.store(r, row);
  }
}

void W8A8Trial::multiply(const Matrix& rows, std::size_t outputs, std::span<float> result,
                         Worker& worker) const {
  worker.products.multiply(
      {.m = rows.rows(), .n = outputs, .k = columns_, .precision = rows.precision(), .b_transposed = true},
      rows.data(), worker.operand.data(), result.data());
}

TrialErrors W8A8Trial::try_panel(std::size_t reader, std::size_t panel,
                                 std::span<const SmoothingCandidate> candidates, Worker& worker) const {
  const Matrix& rows = input_.magnitudes.rows;
  const auto weights = read(reader, panel, worker);
  const std::size_t outputs = weights.size() / columns_;
  worker.operand = Matrix(rows.precision(), outputs, columns_);
  worker.operand.store(0, weights);
  worker.exact.resize(rows.rows() * outputs);
  worker.product.resize(worker.exact.size());
  multiply(rows, outputs, worker.exact, worker);
  TrialErrors result;
  for (std::size_t r = 0; r < rows.rows(); ++r) {
    double energy = 0;
    for (const float value : row_of(std::span(worker.exact), r, outputs)) energy += double{value} * value;
    result.energies.push_back(energy);
  }
  for (const SmoothingCandidate& candidate : candidates) {
    result.weight_maxima.push_back(set_weight_codes(weights, candidate, worker));
    multiply(candidate.codes, outputs, worker.product, worker);
    result.errors.push_back(errors_of(candidate, outputs, worker));
  }
  return result;
}

float W8A8Trial::set_weight_codes(std::span<const float> weights, const SmoothingCandidate& candidate,
                                  Worker& worker) const {
  const std::size_t outputs = weights.size() / columns_;
  worker.scaled.resize(columns_);
  worker.scales.resize(outputs);
  for (std::size_t row = 0; row < outputs; ++row) {
    const auto from = row_of(weights, row, columns_);
    for (std::size_t c = 0; c < columns_; ++c) worker.scaled[c] = from[c] * candidate.factors[c];
    worker.scales[row] = kernels::symmetric_scale(worker.scaled);
    round_to_codes(worker.scaled, worker.scales[row], worker.codes);
    worker.operand.store(row, worker.scaled);
  }
  return *std::ranges::max_element(worker.scales) * kLargestCode;
}

std::vector<double> W8A8Trial::errors_of(const SmoothingCandidate& candidate, std::size_t outputs,
                                         const Worker& worker) {
  std::vector<double> errors;
  for (std::size_t r = 0; r < candidate.code_scales.size(); ++r) {
    double error = 0;
    for (std::size_t o = 0; o < outputs; ++o) {
      const std::size_t at = r * outputs + o;
      const float got = worker.product[at] * candidate.code_scales[r] * worker.scales[o];
      const double difference = static_cast<double>(got) - worker.exact[at];
      error += difference * difference;
    }
    errors.push_back(error);
  }
  return errors;
}

void W8A8Trial::add(std::span<const double> values, std::span<double> sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
}

TrialErrors W8A8Trial::sum_of(std::span<const TrialErrors> panels) {
  TrialErrors total = panels.front();
  for (const TrialErrors& panel : panels.subspan(1)) {
    add(panel.energies, total.energies);
    for (std::size_t i = 0; i < total.errors.size(); ++i) {
      add(panel.errors[i], total.errors[i]);
      total.weight_maxima[i] = std::max(total.weight_maxima[i], panel.weight_maxima[i]);
    }
  }
  return total;
}

double relative_error(const TrialErrors& errors, std::size_t candidate) {
  double sum = 0;
  for (std::size_t r = 0; r < errors.energies.size(); ++r) {
    if (errors.energies[r] > 0) sum += errors.errors[candidate][r] / errors.energies[r];
  }
  return sum / static_cast<double>(errors.energies.size());
}

}  // namespace tessera::stages
