#include "stages/encode_feedback.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>

#include "foundation/base/parallel.h"
#include "foundation/codecs/codec.h"
#include "foundation/codecs/decode_finite.h"
#include "foundation/kernels/squared_error.h"
#include "foundation/kernels/transpose.h"

namespace tessera::stages {
namespace {

constexpr std::size_t kRows = codecs::kFeedbackRows;
static_assert(kRows == kernels::UpperFactor::kRows);

/// Panels for one whose rows are all compared with the plain encoding.
constexpr std::size_t kSampleEvery = 8;
/// Of the least share of its energy that the plain encoding's error had in the sample.
constexpr double kSafety = 0.5;
constexpr double kAllRows = -1;

std::vector<float> diagonal_of(const InputMoments& moments) {
  std::vector<float> diagonal(moments.columns);
  for (std::size_t i = 0; i < moments.columns; ++i) {
    diagonal[i] = moments.second[i * moments.columns + i];
  }
  return diagonal;
}

/// Takes the H of the drift's tokens out of the moments, if they have one of its own.
std::optional<codecs::DampedFactor> factor_for_drift(InputMoments& moments,
                                                     const FeedbackEncodeSettings& settings) {
  if (moments.drift.empty()) return std::nullopt;
  auto second = moments.paired_second.empty() ? moments.second : std::move(moments.paired_second);
  return codecs::factor_damped(second, moments.columns, settings.drift_damping, settings.threads);
}

/// sum of H_ii w_i^2.
double energy(std::span<const float> row, std::span<const float> importance) {
  double sum = 0;
  for (std::size_t i = 0; i < row.size(); ++i) sum += double{importance[i]} * row[i] * row[i];
  return sum;
}

}  // namespace

/// The buffers of one thread. What is transposed is [columns][kRows].
struct FeedbackEncoder::Worker {
  Worker(std::size_t columns, kernels::Precision precision)
      : weights(kernels::Precision::f32, kRows, columns),
        decoded(kernels::Precision::f32, kRows, columns),
        plain(kernels::Precision::f32, kRows, columns),
        operand(precision, columns, kRows),
        targets(columns * kRows),
        errors(columns * kRows),
        product(columns * kRows),
        target_rows(columns * kRows) {}

  /// Transposes kRows rows.
  static void transpose(const kernels::Matrix& rows, std::span<float> result) {
    kernels::transpose_columns(rows, kRows, 0, std::as_writable_bytes(result));
  }
  /// product = matrix * x, x as an operand of the matrix's precision.
  void multiply(const kernels::Matrix& matrix, std::span<const float> x) {
    operand.store(0, x);
    products.multiply(
        {.m = matrix.rows(), .n = kRows, .k = matrix.columns(), .precision = matrix.precision()},
        matrix.data(), operand.data(), product.data());
  }
  std::span<float> floats(kernels::Matrix& rows) const {
    return {reinterpret_cast<float*>(rows.data()), rows.rows() * rows.columns()};
  }

  /// Decodes rows of a tensor, into the weights from row `at` on.
  void read(const WeightSource& source, std::size_t tensor, const RowRange& rows, std::size_t at) {
    const std::size_t columns = weights.columns();
    codecs::decode_finite(source, tensor, rows.first * columns, source.stored_rows(tensor, rows, stored),
                          floats(weights).subspan(at * columns, rows.count * columns));
    source.discard(tensor, rows);
  }

  kernels::MatrixProducts products;
  kernels::Matrix weights;  ///< [kRows, columns]; rows that the tensor does not have are 0
  kernels::Matrix decoded;  ///< likewise
  kernels::Matrix plain;    ///< likewise, of the plain encoding; rows that have none are any numbers
  kernels::Matrix operand;
  std::vector<float> targets;
  std::vector<float> errors;
  std::vector<float> product;
  std::vector<float> target_rows;  ///< targets as rows
  std::vector<std::byte> stored, blocks, plain_blocks;
};

struct FeedbackEncoder::PanelOutcome {
  FeedbackOutcome outcome;
  double least_plain_share = std::numeric_limits<double>::infinity();  ///< of the energies, in the sample
};

FeedbackEncoder::FeedbackEncoder(InputMoments moments, std::uint64_t rows,
                                 const FeedbackEncodeSettings& settings)
    : settings_(settings),
      columns_(moments.columns),
      importance_(diagonal_of(moments)),
      drift_factor_(factor_for_drift(moments, settings)),
      metric_(std::move(moments.second), columns_, {settings.damping, settings.precision, settings.threads}) {
  if (drift_factor_) set_drift(moments.drift, rows);
}

// D H^-1, with the H of its own tokens, is solved for once for all tensors where they have more rows than
// columns, else W D row by row.
void FeedbackEncoder::set_drift(std::span<const float> drift, std::uint64_t rows) {
  solved_ahead_ = rows > columns_;
  drift_.emplace(settings_.precision, columns_, columns_);
  std::vector<kernels::MatrixProducts> products(static_cast<std::size_t>(resolve_threads(settings_.threads)));
  parallel_for((columns_ + kRows - 1) / kRows, settings_.threads, [&](std::size_t panel, int worker) {
    const std::size_t first = panel * kRows, count = std::min(kRows, columns_ - first);
    std::vector<float> transposed(columns_ * kRows);
    for (std::size_t row = 0; row < count; ++row) {
      const auto from = drift.subspan((first + row) * columns_, columns_);
      for (std::size_t c = 0; c < columns_; ++c) transposed[c * kRows + row] = from[c];
    }
    if (solved_ahead_) drift_factor_->factor.solve(transposed, products[static_cast<std::size_t>(worker)]);
    for (std::size_t c = 0; c < columns_; ++c) {
      drift_->store(c, first, std::span(transposed).subspan(c * kRows, count));
    }
  });
}

FeedbackOutcome FeedbackEncoder::encode(const WeightSource& source, const FeedbackRows& rows,
                                        ElementType type, const EncodedRowsSink& sink,
                                        const StopFlag& stop) const {
  assert(source.tensors()[rows.tensor].columns() == columns_ && rows.rows.count > 0);
  const std::size_t panels = (rows.rows.count + kRows - 1) / kRows;
  const std::size_t sampled = (panels + kSampleEvery - 1) / kSampleEvery;
  std::vector<PanelOutcome> outcomes(panels);
  const auto encode_rows = [&](std::size_t panel, double bound, Worker& worker) {
    const std::uint64_t first = panel * kRows;
    const RowRange range{rows.rows.first + first, std::min<std::uint64_t>(kRows, rows.rows.count - first)};
    worker.read(source, rows.tensor, range, 0);
    outcomes[panel] = encode_panel(type, range.count, bound, worker);
    sink({range, worker.blocks, worker.floats(worker.decoded).first(range.count * columns_)});
  };
  Workers workers = make_workers();
  for_each(sampled, workers, stop,
           [&](std::size_t index, Worker& worker) { encode_rows(index * kSampleEvery, kAllRows, worker); });
  const double bound =
      kSafety * std::ranges::min(outcomes, {}, &PanelOutcome::least_plain_share).least_plain_share;
  for_each(panels - sampled, workers, stop, [&](std::size_t index, Worker& worker) {
    encode_rows(index + index / (kSampleEvery - 1) + 1, bound, worker);
  });
  FeedbackOutcome total = outcomes.front().outcome;
  for (std::size_t panel = 1; panel < panels; ++panel) total += outcomes[panel].outcome;
  return total;
}

std::vector<FeedbackOutcome> FeedbackEncoder::try_rows(const WeightSource& source,
                                                       std::span<const FeedbackTrial> trials,
                                                       const StopFlag& stop) const {
  std::vector<FeedbackOutcome> outcomes(trials.size());
  Workers workers = make_workers();
  for_each(trials.size(), workers, stop, [&](std::size_t index, Worker& worker) {
    const FeedbackTrial& trial = trials[index];
    assert(source.tensors()[trial.tensor].columns() == columns_);
    assert(!trial.rows.empty() && trial.rows.size() <= kRows);
    for (std::size_t i = 0; i < trial.rows.size(); ++i)
      worker.read(source, trial.tensor, {trial.rows[i], 1}, i);
    outcomes[index] = encode_panel(trial.type, trial.rows.size(), kAllRows, worker).outcome;
  });
  return outcomes;
}

FeedbackEncoder::Workers FeedbackEncoder::make_workers() const {
  return Workers(static_cast<std::size_t>(resolve_threads(settings_.threads)));
}

template <class Work>
void FeedbackEncoder::for_each(std::size_t count, Workers& workers, const StopFlag& stop,
                               const Work& work) const {
  parallel_for(count, settings_.threads, [&](std::size_t item, int index) {
    stop.check();
    auto& worker = workers[static_cast<std::size_t>(index)];
    if (!worker) worker = std::make_unique<Worker>(columns_, settings_.precision);
    work(item, *worker);
  });
}

FeedbackEncoder::PanelOutcome FeedbackEncoder::encode_panel(ElementType type, std::size_t rows, double bound,
                                                            Worker& worker) const {
  const auto& codec = codecs::codec_for(type);
  const auto weights = worker.floats(worker.weights).first(rows * columns_);
  const auto decoded = worker.floats(worker.decoded).first(rows * columns_);
  std::ranges::fill(worker.floats(worker.weights).subspan(weights.size()), 0.0f);
  set_targets(worker);
  worker.blocks.resize(rows * row_bytes(type, columns_));
  codec.encode_with_feedback(
      {std::span(worker.target_rows).first(rows * columns_), metric_, settings_.sweeps}, worker.products,
      worker.blocks);
  codec.decode(worker.blocks, decoded);
  auto errors = output_errors(worker.decoded, worker);
  std::vector<double> energies;
  std::vector<std::size_t> compared;
  for (std::size_t row = 0; row < rows; ++row) {
    energies.push_back(energy(weights.subspan(row * columns_, columns_), importance_));
    if (!(errors[row] <= bound * energies[row])) compared.push_back(row);
  }
  PanelOutcome panel;
  const auto feedback_errors = errors;
  const auto plain_errors = compare(type, compared, errors, worker);
  for (const std::size_t row : compared) {
    panel.outcome.plain_rows += errors[row] != feedback_errors[row];
    if (bound != kAllRows) continue;
    panel.outcome.sampled_output_error += errors[row];
    panel.outcome.plain_output_error += plain_errors[row];
    if (energies[row] > 0)
      panel.least_plain_share = std::min(panel.least_plain_share, plain_errors[row] / energies[row]);
  }
  panel.outcome.rows = rows;
  panel.outcome.damping = metric_.damping();
  panel.outcome.output_error = std::accumulate(errors.begin(), errors.begin() + rows, 0.0);
  panel.outcome.error = {kernels::sum_squared_error(weights, decoded, columns_, importance_), true};
  return panel;
}

std::vector<double> FeedbackEncoder::compare(ElementType type, std::span<const std::size_t> rows,
                                             std::vector<double>& errors, Worker& worker) const {
  if (rows.empty()) return {};
  const auto& codec = codecs::codec_for(type);
  const auto row_of = [&](std::span<float> floats, std::size_t row) {
    return floats.subspan(row * columns_, columns_);
  };
  // One after the other, as the codec takes rows together.
  const auto gathered = std::span(worker.target_rows).first(rows.size() * columns_);
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::ranges::copy(row_of(worker.floats(worker.weights), rows[i]), row_of(gathered, i).begin());
  const std::size_t row_size = row_bytes(type, columns_);
  worker.plain_blocks.resize(rows.size() * row_size);
  codec.encode({gathered, columns_, importance_}, worker.plain_blocks);
  codec.decode(worker.plain_blocks, gathered);
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::ranges::copy(row_of(gathered, i), row_of(worker.floats(worker.plain), rows[i]).begin());
  auto plain_errors = output_errors(worker.plain, worker);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t row = rows[i];
    if (errors[row] <= plain_errors[row]) continue;
    errors[row] = plain_errors[row];
    std::ranges::copy(row_of(gathered, i), row_of(worker.floats(worker.decoded), row).begin());
    std::copy_n(worker.plain_blocks.data() + i * row_size, row_size, worker.blocks.data() + row * row_size);
  }
  return plain_errors;
}

void FeedbackEncoder::set_targets(Worker& worker) const {
  Worker::transpose(worker.weights, worker.targets);
  const auto weights = worker.floats(worker.weights);
  if (!drift_) {
    std::ranges::copy(weights, worker.target_rows.begin());
    return;
  }
  worker.multiply(*drift_, worker.targets);
  if (!solved_ahead_) drift_factor_->factor.solve(worker.product, worker.products);
  for (std::size_t i = 0; i < worker.targets.size(); ++i) worker.targets[i] += worker.product[i];
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t c = 0; c < columns_; ++c) {
      worker.target_rows[row * columns_ + c] = worker.targets[c * kRows + row];
    }
  }
}

std::vector<double> FeedbackEncoder::output_errors(const kernels::Matrix& decoded, Worker& worker) const {
  Worker::transpose(decoded, worker.errors);
  for (std::size_t i = 0; i < worker.errors.size(); ++i)
    worker.errors[i] = worker.targets[i] - worker.errors[i];
  worker.multiply(metric_.hessian(), worker.errors);
  const auto damping = static_cast<float>(metric_.added_to_diagonal());
  std::vector<double> errors(kRows);
  for (std::size_t c = 0; c < columns_; ++c) {
    const float* error = worker.errors.data() + c * kRows;
    const float* product = worker.product.data() + c * kRows;
    for (std::size_t row = 0; row < kRows; ++row) {
      errors[row] += static_cast<double>(error[row]) * (product[row] - damping * error[row]);
    }
  }
  return errors;
}

}  // namespace tessera::stages
