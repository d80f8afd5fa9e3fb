#include "stages/choose_smoothing.h"

#include <algorithm>
#include <cmath>

#include "foundation/base/parallel.h"
#include "foundation/codecs/decode_finite.h"
#include "foundation/kernels/gemm.h"
#include "foundation/kernels/int8_codes.h"
#include "foundation/kernels/vector_math.h"
#include "stages/choose_smoothing/smoothing_scales.h"

namespace tessera::stages {
namespace {

using kernels::Matrix;
using kernels::row_of;

constexpr std::uint64_t kPanelRows = 128;
constexpr float kLargestCode = 127;

/// One way to treat the fold: column j of the input is divided by, of the weights multiplied by, factors[j].
struct Candidate {
  std::optional<double> alpha;     ///< empty: left alone
  std::vector<double> scales;      ///< [channels]
  std::vector<float> factors;      ///< [columns]
  Matrix codes;                    ///< of the sampled rows, [sampled, columns]
  std::vector<float> code_scales;  ///< [sampled]
};

/// x <- the codes of x, as floats.
void round_to_codes(std::span<float> x, float scale, std::vector<std::int8_t>& codes) {
  codes.resize(x.size());
  kernels::quantize_row(x, scale, codes);
  std::ranges::copy(codes, x.begin());
}

/// What one panel of a reader costs under every candidate.
struct PanelErrors {
  std::vector<double> energies;             ///< [sampled]: |x W^T|^2
  std::vector<std::vector<double>> errors;  ///< by candidate, [sampled]
  std::vector<float> weight_maxima;         ///< by candidate
};

class Trial {
 public:
  Trial(const WeightSource& source, const FoldInput& input, const SmoothingTrialSettings& settings,
        const StopFlag& stop)
      : source_(source),
        input_(input),
        settings_(settings),
        stop_(stop),
        columns_(input.magnitudes.maxima.size()),
        workers_(static_cast<std::size_t>(resolve_threads(settings.threads))) {}

  /// [channels]: the largest magnitudes of the columns of all readers.
  std::vector<float> weight_maxima() {
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

  /// [channels]: the input's magnitudes.
  std::vector<float> input_maxima() const {
    std::vector<float> maxima(input_.channels);
    fold_maxima(input_.magnitudes.maxima, maxima);
    return maxima;
  }

  Candidate candidate(std::optional<double> alpha, std::vector<double> scales) const {
    Candidate result{
        .alpha = alpha, .scales = std::move(scales), .factors = {}, .codes = {}, .code_scales = {}};
    for (std::size_t c = 0; c < columns_; ++c)
      result.factors.push_back(static_cast<float>(result.scales[channel(c)]));
    quantize_rows(result);
    return result;
  }

  /// By reader.
  std::vector<PanelErrors> run(std::span<const Candidate> candidates) {
    std::vector<PanelErrors> totals;
    for (const std::size_t reader : input_.readers) {
      std::vector<PanelErrors> panels(panels_of(reader));
      parallel_for(panels.size(), settings_.threads, [&](std::size_t panel, int worker) {
        stop_.check();
        panels[panel] = try_panel(reader, panel, candidates, workers_[static_cast<std::size_t>(worker)]);
      });
      totals.push_back(sum_of(panels));
    }
    return totals;
  }

 private:
  struct Worker {
    kernels::MatrixProducts products;
    std::vector<std::byte> stored;
    std::vector<float> weights;  ///< [panel, columns]
    std::vector<float> scaled;   ///< [columns]
    std::vector<float> exact;    ///< [sampled, panel]: X W^T
    std::vector<float> product;  ///< [sampled, panel]
    std::vector<float> scales;   ///< [panel]
    std::vector<std::int8_t> codes;
    Matrix operand;  ///< [panel, columns]
  };

  std::uint64_t channel(std::uint64_t column) const {
    return carrier_channel(input_.rule.channels, input_.heads, column);
  }
  void fold_maxima(std::span<const float> columns, std::span<float> channels) const {
    for (std::size_t c = 0; c < columns.size(); ++c)
      channels[channel(c)] = std::max(channels[channel(c)], columns[c]);
  }
  std::size_t panels_of(std::size_t reader) const {
    return static_cast<std::size_t>((source_.tensors()[reader].rows() + kPanelRows - 1) / kPanelRows);
  }

  /// The weights of a panel, [rows, columns].
  std::span<const float> read(std::size_t reader, std::size_t panel, Worker& worker) const {
    const RowRange rows{panel * kPanelRows,
                        std::min(kPanelRows, source_.tensors()[reader].rows() - panel * kPanelRows)};
    worker.weights.resize(rows.count * columns_);
    codecs::decode_finite(source_, reader, rows.first * columns_,
                          source_.stored_rows(reader, rows, worker.stored), worker.weights);
    source_.discard(reader, rows);
    return worker.weights;
  }

  std::vector<float> column_maxima(std::span<const float> weights) const {
    std::vector<float> maxima(columns_);
    for (std::size_t i = 0; i < weights.size(); ++i)
      maxima[i % columns_] = std::max(maxima[i % columns_], std::abs(weights[i]));
    return maxima;
  }

  void quantize_rows(Candidate& candidate) const {
    const Matrix& rows = input_.magnitudes.rows;
    candidate.codes = Matrix(rows.precision(), rows.rows(), columns_);
    std::vector<float> row(columns_);
    std::vector<std::int8_t> codes;
    float static_scale = 0;
    for (std::size_t c = 0; c < columns_; ++c)
      static_scale =
          std::max(static_scale, input_.magnitudes.maxima[c] / candidate.factors[c] / kLargestCode);
    for (std::size_t r = 0; r < rows.rows(); ++r) {
      rows.load(r, row);
      for (std::size_t c = 0; c < columns_; ++c) row[c] /= candidate.factors[c];
      candidate.code_scales.push_back(settings_.static_activations ? static_scale
                                                                   : kernels::symmetric_scale(row));
      round_to_codes(row, candidate.code_scales.back(), codes);
      candidate.codes.store(r, row);
    }
  }

  void multiply(const Matrix& rows, std::size_t outputs, std::span<float> result, Worker& worker) const {
    worker.products.multiply(
        {.m = rows.rows(), .n = outputs, .k = columns_, .precision = rows.precision(), .b_transposed = true},
        rows.data(), worker.operand.data(), result.data());
  }

  PanelErrors try_panel(std::size_t reader, std::size_t panel, std::span<const Candidate> candidates,
                        Worker& worker) const {
    const Matrix& rows = input_.magnitudes.rows;
    const auto weights = read(reader, panel, worker);
    const std::size_t outputs = weights.size() / columns_;
    worker.operand = Matrix(rows.precision(), outputs, columns_);
    worker.operand.store(0, weights);
    worker.exact.resize(rows.rows() * outputs);
    worker.product.resize(worker.exact.size());
    multiply(rows, outputs, worker.exact, worker);
    PanelErrors result;
    for (std::size_t r = 0; r < rows.rows(); ++r) {
      double energy = 0;
      for (const float value : row_of(std::span(worker.exact), r, outputs)) energy += double{value} * value;
      result.energies.push_back(energy);
    }
    for (const Candidate& candidate : candidates) {
      result.weight_maxima.push_back(set_weight_codes(weights, candidate, worker));
      multiply(candidate.codes, outputs, worker.product, worker);
      result.errors.push_back(errors_of(candidate, outputs, worker));
    }
    return result;
  }

  /// Gives the largest magnitude of the multiplied weights.
  float set_weight_codes(std::span<const float> weights, const Candidate& candidate, Worker& worker) const {
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

  static std::vector<double> errors_of(const Candidate& candidate, std::size_t outputs,
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

  static void add(std::span<const double> values, std::span<double> sums) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
  }

  static PanelErrors sum_of(std::span<const PanelErrors> panels) {
    PanelErrors total = panels.front();
    for (const PanelErrors& panel : panels.subspan(1)) {
      add(panel.energies, total.energies);
      for (std::size_t i = 0; i < total.errors.size(); ++i) {
        add(panel.errors[i], total.errors[i]);
        total.weight_maxima[i] = std::max(total.weight_maxima[i], panel.weight_maxima[i]);
      }
    }
    return total;
  }

  const WeightSource& source_;
  const FoldInput& input_;
  const SmoothingTrialSettings& settings_;
  const StopFlag& stop_;
  std::size_t columns_;
  std::vector<Worker> workers_;
};

// Token by token: the norms that follow make all tokens equally large, so a few of great energy do not
// decide.
double relative(const PanelErrors& errors, std::size_t candidate) {
  double sum = 0;
  for (std::size_t r = 0; r < errors.energies.size(); ++r) {
    if (errors.energies[r] > 0) sum += errors.errors[candidate][r] / errors.energies[r];
  }
  return sum / static_cast<double>(errors.energies.size());
}

/// Leaving alone comes first, so that smoothing must be better to be chosen.
std::size_t best_of(std::span<const PanelErrors> readers, std::size_t candidates) {
  std::vector<double> sums(candidates);
  for (const auto& reader : readers)
    for (std::size_t i = 0; i < candidates; ++i) sums[i] += relative(reader, i);
  return static_cast<std::size_t>(std::ranges::min_element(sums) - sums.begin());
}

std::vector<double> alphas_of(const SmoothingStrength& strength) {
  using enum SmoothingStrength::Kind;
  if (strength.kind == none) return {};
  if (strength.kind == fixed) return {strength.alpha};
  return {kAlphaGrid.begin(), kAlphaGrid.end()};
}

}  // namespace

SmoothedFold choose_smoothing(const WeightSource& source, const FoldInput& input,
                              const SmoothingStrength& strength, const SmoothingTrialSettings& settings,
                              const StopFlag& stop) {
  Trial trial(source, input, settings, stop);
  SmoothedFold fold{.layer = input.layer,
                    .fold = std::string(input.rule.name),
                    .alpha = {},
                    .input_maxima = trial.input_maxima(),
                    .weight_maxima = trial.weight_maxima(),
                    .scales = {},
                    .linears = {}};
  std::vector<Candidate> candidates;
  candidates.push_back(trial.candidate({}, std::vector<double>(input.channels, 1.0)));
  for (const double alpha : alphas_of(strength)) {
    candidates.push_back(
        trial.candidate(alpha, smoothing_scales(fold.input_maxima, fold.weight_maxima, alpha)));
  }
  const auto readers = trial.run(candidates);
  const bool searched = strength.kind == SmoothingStrength::Kind::automatic;
  const std::size_t chosen = searched ? best_of(readers, candidates.size()) : candidates.size() - 1;
  fold.alpha = candidates[chosen].alpha;
  fold.scales = candidates[chosen].scales;
  const auto half = std::ranges::find(candidates, std::optional(0.5), &Candidate::alpha);
  for (std::size_t i = 0; i < readers.size(); ++i) {
    fold.linears.push_back({.tensor = source.tensors()[input.readers[i]].name,
                            .weight_maximum = readers[i].weight_maxima[0],
                            .smoothed_maximum = readers[i].weight_maxima[chosen],
                            .naive_error = relative(readers[i], 0),
                            .half_error = {},
                            .smoothed_error = relative(readers[i], chosen)});
    if (searched) {
      fold.linears.back().half_error =
          relative(readers[i], static_cast<std::size_t>(half - candidates.begin()));
    }
  }
  return fold;
}

}  // namespace tessera::stages
