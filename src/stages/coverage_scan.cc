#include "stages/coverage_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <mutex>
#include <tuple>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/base/printable.h"
#include "foundation/codecs/decode_finite.h"
#include "foundation/kernels/score_histogram.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::stages {
namespace {

/// Weights of a piece of work: what is decoded at a time stays in the level-2 cache.
constexpr std::uint64_t kPieceWeights = 1u << 16;
/// Candidates that may wait beside the best before they are weeded out.
constexpr std::uint64_t kLeastWaiting = 1u << 16;

struct Candidate {
  float score = 0;
  float value = 0;
  float block_ratio = 0;    ///< negative: there is none
  std::uint32_t item = 0;   ///< of the job's tensors
  std::uint64_t index = 0;  ///< row * columns + column
};

bool is_better(const Candidate& a, const Candidate& b) {
  return std::tuple(-a.score, a.item, a.index) < std::tuple(-b.score, b.item, b.index);
}

/// The best `most` of all candidates that are offered, in whatever order they come.
class BestCandidates {
 public:
  explicit BestCandidates(std::uint64_t most) : most_(most) {}

  /// What scores less is not among the best.
  float least() const {
    const std::lock_guard lock(mutex_);
    return least_;
  }

  void offer(std::span<const Candidate> candidates) {
    const std::lock_guard lock(mutex_);
    std::ranges::copy_if(candidates, std::back_inserter(best_),
                         [this](const Candidate& candidate) { return candidate.score >= least_; });
    if (best_.size() > 2 * most_ + kLeastWaiting) weed_out();
  }

  std::vector<Candidate> take() {
    weed_out();
    std::ranges::sort(best_, is_better);
    return std::move(best_);
  }

 private:
  void weed_out() {
    if (best_.size() <= most_) return;
    const auto end = best_.begin() + static_cast<std::ptrdiff_t>(most_);
    std::ranges::nth_element(best_, end - 1, is_better);
    best_.erase(end, best_.end());
    least_ = best_.back().score;
  }

  std::uint64_t most_;
  mutable std::mutex mutex_;
  std::vector<Candidate> best_;
  float least_ = 0;
};

struct Piece {
  std::size_t item = 0;  ///< of the job's tensors
  RowRange rows;         ///< of one matrix
};

std::vector<Piece> pieces_of(const CoverageJob& job) {
  std::vector<Piece> pieces;
  for (std::size_t item = 0; item < job.tensors.size(); ++item) {
    const auto& tensor = job.source.tensors()[job.tensors[item].tensor];
    const std::uint64_t step = std::max<std::uint64_t>(1, kPieceWeights / tensor.columns());
    const std::uint64_t matrix_rows = tensor.rows_per_matrix();
    for (std::uint64_t matrix = 0; matrix < tensor.rows(); matrix += matrix_rows) {
      for (std::uint64_t row = 0; row < matrix_rows; row += step)
        pieces.push_back({item, {matrix + row, std::min(step, matrix_rows - row)}});
    }
  }
  return pieces;
}

/// The buffers of one thread.
struct Worker {
  std::vector<std::byte> stored;
  std::vector<float> weights, scores;
  std::vector<Candidate> candidates;
  kernels::ScoreHistogram histogram;
};

class Scan {
 public:
  Scan(const CoverageJob& job, std::uint64_t most) : job_(job), best_(most) {}

  void look_at(const Piece& piece, Worker& worker) {
    const ScoredTensor& scored = job_.tensors[piece.item];
    const auto& tensor = job_.source.tensors()[scored.tensor];
    const std::uint64_t columns = tensor.columns();
    const std::uint64_t first = piece.rows.first * columns;
    worker.weights.resize(piece.rows.count * columns);
    codecs::decode_finite(job_.source, scored.tensor, first,
                          job_.source.stored_rows(scored.tensor, piece.rows, worker.stored), worker.weights);
    job_.source.discard(scored.tensor, piece.rows);
    score(scored, tensor, piece.rows, worker);
    worker.histogram.add(worker.scores);
    worker.candidates.clear();
    const float least = best_.least();
    for (std::size_t i = 0; i < worker.scores.size(); ++i) {
      if (worker.scores[i] < least || worker.scores[i] == 0) continue;
      const auto row = kernels::row_of(std::span<const float>(worker.weights), i / columns, columns);
      worker.candidates.push_back({worker.scores[i], worker.weights[i],
                                   static_cast<float>(block_ratio(row, i % columns).value_or(-1)),
                                   static_cast<std::uint32_t>(piece.item), first + i});
    }
    best_.offer(worker.candidates);
  }

  std::vector<SuperWeight> take() {
    std::vector<SuperWeight> weights;
    for (const Candidate& candidate : best_.take()) {
      const auto& tensor = job_.source.tensors()[job_.tensors[candidate.item].tensor];
      SuperWeight weight{.tensor = tensor.name,
                         .row = candidate.index / tensor.columns(),
                         .column = candidate.index % tensor.columns(),
                         .value = candidate.value,
                         .score = candidate.score};
      if (candidate.block_ratio >= 0) weight.block_ratio = candidate.block_ratio;
      weights.push_back(std::move(weight));
    }
    return weights;
  }

 private:
  /// worker.scores <- those of worker.weights.
  void score(const ScoredTensor& scored, const TensorDescriptor& tensor, const RowRange& rows,
             Worker& worker) const {
    const std::uint64_t columns = tensor.columns();
    worker.scores.resize(worker.weights.size());
    std::vector<float> diagonal;
    if (scored.per_weight) diagonal = job_.fisher->rows(tensor.name, rows);
    const std::uint64_t matrix = rows.first / tensor.rows_per_matrix();
    for (std::uint64_t r = 0; r < rows.count; ++r) {
      const auto row = kernels::row_of(std::span<const float>(worker.weights), r, columns);
      const auto scores = kernels::row_of(std::span(worker.scores), r, columns);
      for (std::uint64_t c = 0; c < columns; ++c) {
        float factor = 1;
        if (scored.per_weight) {
          factor = std::sqrt(diagonal[r * columns + c]);
        } else if (!scored.column_factors.empty()) {
          factor = scored.column_factors[matrix * columns + c];
        }
        scores[c] = std::min(std::abs(row[c]) * factor, std::numeric_limits<float>::max());
      }
    }
  }

  const CoverageJob& job_;
  BestCandidates best_;
};

/// Adds up `size` of the job's tensors.
template <class Size>
std::uint64_t total_of(const CoverageJob& job, const Size& size) {
  std::uint64_t total = 0;
  for (const auto& scored : job.tensors) total += (job.source.tensors()[scored.tensor].*size)();
  return total;
}

/// Reads all weights past the scan; gives the histogram of their scores.
kernels::ScoreHistogram read_all(const CoverageJob& job, int threads, Scan& scan, ProgressObserver& progress,
                                 const StopFlag& stop) {
  const auto pieces = pieces_of(job);
  std::vector<Worker> workers(static_cast<std::size_t>(resolve_threads(threads)));
  std::mutex mutex;
  std::uint64_t done = 0;
  progress.begin("scoring weights", total_of(job, &TensorDescriptor::bytes));
  parallel_for(pieces.size(), threads, [&](std::size_t item, int worker) {
    stop.check();
    const Piece& piece = pieces[item];
    scan.look_at(piece, workers[static_cast<std::size_t>(worker)]);
    const auto& tensor = job.source.tensors()[job.tensors[piece.item].tensor];
    const std::lock_guard lock(mutex);
    done += piece.rows.count * row_bytes(tensor.type, tensor.columns());
    progress.advance(done);
  });
  progress.end();
  kernels::ScoreHistogram scores;
  for (const Worker& worker : workers) scores += worker.histogram;
  return scores;
}

std::optional<double> fence_of(const kernels::ScoreHistogram& scores) {
  const std::uint64_t total = scores.total();
  if (total == 0) return std::nullopt;
  const double median = scores.ranked(total / 2);
  const double quartile = scores.ranked(3 * total / 4);
  if (median == 0) return std::nullopt;
  return quartile * std::pow(quartile / median, 3);
}

}  // namespace

void require_coverage(double coverage) {
  if (coverage > 0 && coverage <= kMostCoverage) return;
  throw UsageError(fmt::format(
      "a coverage of {} is out of range: give the share of weights above 0 and up to {}; 0.0001 is usual",
      coverage, kMostCoverage));
}

std::optional<double> block_ratio(std::span<const float> row, std::size_t column) {
  const std::size_t first = column / kSuperWeightBlock * kSuperWeightBlock;
  const auto block = row.subspan(first, std::min(kSuperWeightBlock, row.size() - first));
  double energy = 0;
  for (std::size_t c = 0; c < block.size(); ++c) {
    if (first + c != column) energy += static_cast<double>(block[c]) * block[c];
  }
  if (energy == 0) return std::nullopt;
  return std::abs(row[column]) / std::sqrt(energy / static_cast<double>(block.size() - 1));
}

CoverageFinding scan_coverage(const CoverageJob& job, const CoverageSettings& settings,
                              ProgressObserver& progress, const StopFlag& stop) {
  require_coverage(settings.coverage);
  CoverageFinding finding;
  finding.outcome.asked = settings.coverage;
  finding.outcome.considered = total_of(job, &TensorDescriptor::weights);
  const double share = settings.coverage * static_cast<double>(finding.outcome.considered);
  Scan scan(job, std::max<std::uint64_t>(1, static_cast<std::uint64_t>(share)));
  const auto scores = read_all(job, settings.threads, scan, progress, stop);
  finding.weights = scan.take();
  if (!finding.weights.empty()) finding.outcome.threshold = finding.weights.back().score;
  if (settings.cut_at_fence) finding.outcome.fence = fence_of(scores);
  std::erase_if(finding.weights,
                [&](const SuperWeight& weight) { return weight.score < finding.outcome.fence.value_or(0); });
  finding.outcome.found = finding.weights.size();
  return finding;
}

}  // namespace tessera::stages
