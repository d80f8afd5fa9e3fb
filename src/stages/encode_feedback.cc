#include "stages/encode_feedback.h"

#include <algorithm>
#include <cassert>

#include "foundation/base/parallel.h"
#include "foundation/codecs/codec.h"
#include "foundation/codecs/decode_finite.h"
#include "foundation/kernels/squared_error.h"
#include "foundation/kernels/transpose.h"

namespace tessera::stages {
namespace {

constexpr std::size_t kRows = codecs::kFeedbackRows;
static_assert(kRows == kernels::UpperFactor::kRows);

std::vector<float> diagonal_of(const InputMoments& moments) {
  std::vector<float> diagonal(moments.columns);
  for (std::size_t i = 0; i < moments.columns; ++i) {
    diagonal[i] = moments.second[i * moments.columns + i];
  }
  return diagonal;
}

}  // namespace

/// The buffers of one thread. What is transposed is [columns][kRows].
struct FeedbackEncoder::Worker {
  Worker(std::size_t columns, kernels::Precision precision)
      : weights(kernels::Precision::f32, kRows, columns),
        decoded(kernels::Precision::f32, kRows, columns),
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
  kernels::Matrix operand;
  std::vector<float> targets;
  std::vector<float> errors;
  std::vector<float> product;
  std::vector<float> target_rows;  ///< targets as rows
  std::vector<std::byte> stored, blocks, plain_blocks;
};

FeedbackEncoder::FeedbackEncoder(InputMoments moments, std::uint64_t rows,
                                 const FeedbackEncodeSettings& settings)
    : settings_(settings),
      columns_(moments.columns),
      importance_(diagonal_of(moments)),
      metric_(std::move(moments.second), columns_, settings.damping, settings.precision) {
  if (!moments.drift.empty()) set_drift(moments.drift, rows);
}

// D H^-1 is solved for once for all tensors where they have more rows than columns, else W D row by row.
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
    if (solved_ahead_) metric_.factor().solve(transposed, products[static_cast<std::size_t>(worker)]);
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
  std::vector<FeedbackOutcome> outcomes(panels);
  for_each_panel(panels, stop, [&](std::size_t panel, Worker& worker) {
    const std::uint64_t first = panel * kRows;
    const RowRange range{rows.rows.first + first, std::min<std::uint64_t>(kRows, rows.rows.count - first)};
    worker.read(source, rows.tensor, range, 0);
    outcomes[panel] = encode_panel(type, range.count, worker);
    sink({range, worker.blocks, worker.floats(worker.decoded).first(range.count * columns_)});
  });
  FeedbackOutcome total = outcomes.front();
  for (std::size_t panel = 1; panel < panels; ++panel) total += outcomes[panel];
  return total;
}

std::vector<FeedbackOutcome> FeedbackEncoder::try_rows(const WeightSource& source,
                                                       std::span<const FeedbackTrial> trials,
                                                       const StopFlag& stop) const {
  std::vector<FeedbackOutcome> outcomes(trials.size());
  for_each_panel(trials.size(), stop, [&](std::size_t index, Worker& worker) {
    const FeedbackTrial& trial = trials[index];
    assert(source.tensors()[trial.tensor].columns() == columns_);
    assert(!trial.rows.empty() && trial.rows.size() <= kRows);
    for (std::size_t i = 0; i < trial.rows.size(); ++i)
      worker.read(source, trial.tensor, {trial.rows[i], 1}, i);
    outcomes[index] = encode_panel(trial.type, trial.rows.size(), worker);
  });
  return outcomes;
}

template <class Work>
void FeedbackEncoder::for_each_panel(std::size_t panels, const StopFlag& stop, const Work& work) const {
  std::vector<std::unique_ptr<Worker>> workers(static_cast<std::size_t>(resolve_threads(settings_.threads)));
  parallel_for(panels, settings_.threads, [&](std::size_t panel, int index) {
    stop.check();
    auto& worker = workers[static_cast<std::size_t>(index)];
    if (!worker) worker = std::make_unique<Worker>(columns_, settings_.precision);
    work(panel, *worker);
  });
}

FeedbackOutcome FeedbackEncoder::encode_panel(ElementType type, std::size_t rows, Worker& worker) const {
  const auto& codec = codecs::codec_for(type);
  const auto weights = worker.floats(worker.weights).first(rows * columns_);
  const auto decoded = worker.floats(worker.decoded).first(rows * columns_);
  std::ranges::fill(worker.floats(worker.weights).subspan(weights.size()), 0.0f);
  set_targets(worker);
  worker.blocks.resize(rows * row_bytes(type, columns_));
  worker.plain_blocks.resize(worker.blocks.size());
  codec.encode({weights, columns_, importance_}, worker.plain_blocks);
  codec.decode(worker.plain_blocks, decoded);
  const auto plain_errors = output_errors(worker);
  codec.encode_with_feedback(
      {std::span(worker.target_rows).first(rows * columns_), metric_, settings_.sweeps}, worker.products,
      worker.blocks);
  codec.decode(worker.blocks, decoded);
  const auto errors = output_errors(worker);
  FeedbackOutcome outcome;
  outcome.rows = rows;
  outcome.damping = metric_.damping();
  const std::size_t row_size = worker.blocks.size() / rows;
  for (std::size_t row = 0; row < rows; ++row) {
    const bool is_plain = !(errors[row] <= plain_errors[row]);
    outcome.output_error += is_plain ? plain_errors[row] : errors[row];
    outcome.plain_output_error += plain_errors[row];
    if (!is_plain) continue;
    ++outcome.plain_rows;
    std::copy_n(worker.plain_blocks.data() + row * row_size, row_size, worker.blocks.data() + row * row_size);
  }
  if (outcome.plain_rows > 0) codec.decode(worker.blocks, decoded);
  outcome.error = {kernels::sum_squared_error(weights, decoded, columns_, importance_), true};
  return outcome;
}

void FeedbackEncoder::set_targets(Worker& worker) const {
  Worker::transpose(worker.weights, worker.targets);
  const auto weights = worker.floats(worker.weights);
  if (!drift_) {
    std::ranges::copy(weights, worker.target_rows.begin());
    return;
  }
  worker.multiply(*drift_, worker.targets);
  if (!solved_ahead_) metric_.factor().solve(worker.product, worker.products);
  for (std::size_t i = 0; i < worker.targets.size(); ++i) worker.targets[i] += worker.product[i];
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t c = 0; c < columns_; ++c) {
      worker.target_rows[row * columns_ + c] = worker.targets[c * kRows + row];
    }
  }
}

std::vector<double> FeedbackEncoder::output_errors(Worker& worker) const {
  Worker::transpose(worker.decoded, worker.errors);
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
