#include "stages/sample_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <utility>

#include "foundation/base/counter_random.h"
#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/kernels/squared_error.h"

namespace tessera::stages {
namespace {

constexpr std::uint64_t kSegmentColumns = 256;

/// What was drawn of one segment of one matrix: distinct rows, with how often each was drawn.
struct DrawnRows {
  std::vector<std::uint64_t> rows;  ///< of the tensor
  std::vector<double> multiplicities;
};

/// Draws of one tensor by matrix and segment.
using Draws = std::map<std::pair<std::uint64_t, std::uint64_t>, DrawnRows>;

std::uint64_t segment_columns(const TensorDescriptor& tensor) {
  return tensor.columns() % kSegmentColumns == 0 ? kSegmentColumns : tensor.columns();
}

/// Column weights of each segment together.
std::vector<double> segment_weights(const SampledTensor& job, std::uint64_t columns, std::uint64_t width) {
  std::vector<double> weights(columns / width, static_cast<double>(width));
  if (job.column_weights.empty()) return weights;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const auto segment = job.column_weights.subspan(k * width, width);
    weights[k] = std::accumulate(segment.begin(), segment.end(), 0.0);
  }
  return weights;
}

/// A permutation by the seed: pairs rows with segments independently of their order.
void shuffle(std::vector<std::uint64_t>& items, std::uint64_t seed, std::uint64_t tensor) {
  for (std::size_t i = items.size(); i > 1; --i) {
    const auto other = static_cast<std::size_t>(uniform_at(seed, tensor, i + 1) * static_cast<double>(i));
    std::swap(items[i - 1], items[other]);
  }
}

Draws draw(const TensorDescriptor& tensor, const SampledTensor& job, std::span<const double> segments,
           const SampleSettings& settings) {
  const auto rows = draw_in_proportion(tensor.rows(), job.row_weights, settings.draws,
                                       uniform_at(settings.seed, job.tensor, 0));
  auto drawn_segments =
      draw_in_proportion(segments.size(), segments, settings.draws, uniform_at(settings.seed, job.tensor, 1));
  shuffle(drawn_segments, settings.seed, job.tensor);
  Draws draws;
  for (std::size_t i = 0; i < std::min(rows.size(), drawn_segments.size()); ++i) {
    auto& drawn = draws[{rows[i] / tensor.rows_per_matrix(), drawn_segments[i]}];
    if (drawn.rows.empty() || drawn.rows.back() != rows[i]) {
      drawn.rows.push_back(rows[i]);
      drawn.multiplicities.push_back(0);
    }
    drawn.multiplicities.back() += 1;
  }
  return draws;
}

/// One segment of some rows, decoded, [rows, width].
std::vector<float> read_segment(const WeightSource& source, std::size_t tensor,
                                std::span<const std::uint64_t> rows, std::uint64_t segment,
                                std::uint64_t width) {
  const auto& descriptor = source.tensors()[tensor];
  const std::uint64_t bytes = row_bytes(descriptor.type, width);
  std::vector<float> weights(rows.size() * width);
  std::vector<std::byte> scratch;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto part = std::span(weights).subspan(i * width, width);
    const auto stored = source.stored_rows(tensor, {rows[i], 1}, scratch);
    codecs::codec_for(descriptor.type).decode(stored.subspan(segment * bytes, bytes), part);
    source.discard(tensor, {rows[i], 1});
    if (const auto bad = kernels::find_non_finite(part)) {
      throw BadFileError({.file = source.name(), .tensor = descriptor.name},
                         fmt::format("weight at row {}, column {} is {}; the model is damaged", rows[i],
                                     segment * width + *bad, part[*bad]));
    }
  }
  return weights;
}

std::vector<float> part_of(std::vector<float> values, std::uint64_t segment, std::uint64_t width) {
  if (values.empty()) return values;
  const auto first = values.begin() + static_cast<std::ptrdiff_t>(segment * width);
  return {first, first + static_cast<std::ptrdiff_t>(width)};
}

/// The draws of one segment of one matrix.
struct SegmentSample {
  std::vector<float> weights;         ///< [rows, width]
  std::vector<float> importance;      ///< [width], or empty
  std::vector<float> column_weights;  ///< [width], or empty
  std::span<const double> multiplicities;

  /// Sum of the weighted squared errors over the draws.
  double error(ElementType type, const codecs::EncodeFunction& encode) const {
    const std::size_t width = weights.size() / multiplicities.size();
    std::vector<std::byte> blocks(multiplicities.size() * row_bytes(type, width));
    encode({weights, width, importance}, blocks);
    std::vector<float> decoded(weights.size());
    codecs::codec_for(type).decode(blocks, decoded);
    double error = 0;
    for (std::size_t i = 0; i < multiplicities.size(); ++i) {
      const auto sums =
          kernels::sum_squared_error(std::span(weights).subspan(i * width, width),
                                     std::span(decoded).subspan(i * width, width), width, column_weights);
      error += multiplicities[i] * (column_weights.empty() ? sums.error : sums.weighted_error);
    }
    return error;
  }
};

std::vector<double> errors_of(const WeightSource& source, const SampledTensor& job,
                              const SampleSettings& settings) {
  const auto& tensor = source.tensors()[job.tensor];
  const auto width = segment_columns(tensor);
  const auto segments = segment_weights(job, tensor.columns(), width);
  const double all_segments = std::accumulate(segments.begin(), segments.end(), 0.0);
  const std::vector<float> column_weights(job.column_weights.begin(), job.column_weights.end());
  std::vector<double> errors(job.types.size());
  for (const auto& [place, drawn] : draw(tensor, job, segments, settings)) {
    const auto [matrix, segment] = place;
    const auto importance =
        job.importance != nullptr ? job.importance->entry.importance(matrix) : std::vector<float>();
    const SegmentSample sample{read_segment(source, job.tensor, drawn.rows, segment, width),
                               part_of(importance, segment, width), part_of(column_weights, segment, width),
                               drawn.multiplicities};
    const double scale = all_segments / segments[segment] / static_cast<double>(settings.draws);
    for (std::size_t i = 0; i < job.types.size(); ++i)
      errors[i] += scale * sample.error(job.types[i], codecs::encoder_for(settings.encoder, job.types[i]));
  }
  return errors;
}

}  // namespace

std::vector<std::uint64_t> draw_in_proportion(std::uint64_t items, std::span<const double> weights,
                                              std::size_t draws, double offset) {
  const double total =
      weights.empty() ? static_cast<double>(items) : std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::uint64_t> drawn;
  if (!(total > 0)) return drawn;
  const double step = total / static_cast<double>(draws);
  double running = 0;
  std::uint64_t last = 0;  // of those with weight: rounding may leave the last point above the sum
  for (std::uint64_t item = 0; item < items; ++item) {
    const double weight = weights.empty() ? 1 : weights[item];
    if (weight > 0) last = item;
    running += weight;
    while (drawn.size() < draws && (static_cast<double>(drawn.size()) + offset) * step < running)
      drawn.push_back(item);
  }
  drawn.resize(draws, last);
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
