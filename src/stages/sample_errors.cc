#include "stages/sample_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "foundation/base/counter_random.h"
#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/kernels/squared_error.h"

namespace tessera::stages {
namespace {

/// Distinct rows of one matrix of a tensor, decoded, with how often each was drawn.
struct RowGroup {
  std::uint64_t matrix = 0;
  std::vector<std::uint64_t> rows;
  std::vector<double> multiplicities;
};

std::vector<RowGroup> group_rows(std::span<const std::uint64_t> drawn, std::uint64_t rows_per_matrix) {
  std::vector<RowGroup> groups;
  for (const auto row : drawn) {
    const auto matrix = row / rows_per_matrix;
    if (groups.empty() || groups.back().matrix != matrix) groups.push_back({matrix, {}, {}});
    auto& group = groups.back();
    if (group.rows.empty() || group.rows.back() != row) {
      group.rows.push_back(row);
      group.multiplicities.push_back(0);
    }
    group.multiplicities.back() += 1;
  }
  return groups;
}

std::vector<float> read_rows(const WeightSource& source, std::size_t tensor,
                             std::span<const std::uint64_t> rows) {
  const auto& descriptor = source.tensors()[tensor];
  const std::uint64_t columns = descriptor.columns();
  std::vector<float> weights(rows.size() * columns);
  std::vector<std::byte> scratch;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = std::span(weights).subspan(i * columns, columns);
    const auto stored = source.stored_rows(tensor, {rows[i], 1}, scratch);
    codecs::codec_for(descriptor.type).decode(stored, row);
    source.discard(tensor, {rows[i], 1});
    if (const auto bad = kernels::find_non_finite(row)) {
      throw BadFileError(
          {.file = source.name(), .tensor = descriptor.name},
          fmt::format("weight at row {}, column {} is {}; the model is damaged", rows[i], *bad, row[*bad]));
    }
  }
  return weights;
}

/// Adds up the weighted errors of all draws in `group`.
double group_error(std::span<const float> weights, const SampledTensor& job, const RowGroup& group,
                   std::uint64_t columns, ElementType type, const codecs::EncodeFunction& encode,
                   std::span<const float> column_weights) {
  std::vector<float> importance;
  if (job.importance != nullptr) importance = job.importance->entry.importance(group.matrix);
  std::vector<std::byte> blocks(group.rows.size() * row_bytes(type, columns));
  encode({weights, columns, importance}, blocks);
  std::vector<float> decoded(weights.size());
  codecs::codec_for(type).decode(blocks, decoded);
  double error = 0;
  for (std::size_t i = 0; i < group.rows.size(); ++i) {
    const auto sums =
        kernels::sum_squared_error(weights.subspan(i * columns, columns),
                                   std::span(decoded).subspan(i * columns, columns), columns, column_weights);
    error += group.multiplicities[i] * (column_weights.empty() ? sums.error : sums.weighted_error);
  }
  return error;
}

std::vector<double> errors_of(const WeightSource& source, const SampledTensor& job,
                              const SampleSettings& settings) {
  const auto& tensor = source.tensors()[job.tensor];
  const auto draws =
      std::max(settings.least_draws,
               static_cast<std::size_t>(std::ceil(static_cast<double>(tensor.rows()) * settings.row_share)));
  const auto drawn =
      draw_rows(tensor.rows(), job.row_weights, draws, uniform_at(settings.seed, job.tensor, 0));
  std::vector<double> errors(job.types.size());
  if (drawn.empty()) return errors;
  const std::vector<float> column_weights(job.column_weights.begin(), job.column_weights.end());
  for (const auto& group : group_rows(drawn, tensor.rows_per_matrix())) {
    const auto weights = read_rows(source, job.tensor, group.rows);
    for (std::size_t i = 0; i < job.types.size(); ++i) {
      errors[i] += group_error(weights, job, group, tensor.columns(), job.types[i],
                               codecs::encoder_for(settings.encoder, job.types[i]), column_weights);
    }
  }
  for (double& error : errors) error /= static_cast<double>(drawn.size());
  return errors;
}

}  // namespace

std::vector<std::uint64_t> draw_rows(std::uint64_t rows, std::span<const double> row_weights,
                                     std::size_t draws, double offset) {
  double total = static_cast<double>(rows);
  if (!row_weights.empty()) {
    total = 0;
    for (const double weight : row_weights) total += weight;
  }
  std::vector<std::uint64_t> drawn;
  if (!(total > 0)) return drawn;
  const double step = total / static_cast<double>(draws);
  double running = 0;
  for (std::uint64_t row = 0; row < rows && drawn.size() < draws; ++row) {
    running += row_weights.empty() ? 1 : row_weights[row];
    while (drawn.size() < draws && (static_cast<double>(drawn.size()) + offset) * step < running)
      drawn.push_back(row);
  }
  return drawn;
}

std::vector<std::vector<double>> sample_errors(const WeightSource& source,
                                               std::span<const SampledTensor> tensors,
                                               const SampleSettings& settings, ProgressObserver& progress,
                                               const StopFlag& stop) {
  std::vector<std::vector<double>> errors(tensors.size());
  std::uint64_t total_bytes = 0;
  for (const auto& job : tensors) total_bytes += source.tensors()[job.tensor].bytes();
  progress.begin("sampling", total_bytes);
  std::mutex mutex;
  std::uint64_t done_bytes = 0;
  parallel_for(tensors.size(), settings.threads, [&](std::size_t i, int) {
    stop.check();
    errors[i] = errors_of(source, tensors[i], settings);
    const std::lock_guard lock(mutex);
    done_bytes += source.tensors()[tensors[i].tensor].bytes();
    progress.advance(done_bytes);
  });
  progress.end();
  return errors;
}

}  // namespace tessera::stages
