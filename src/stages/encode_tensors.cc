#include "stages/encode_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/base/printable.h"
#include "foundation/codecs/decode_finite.h"
#include "foundation/codecs/protected_block.h"
#include "foundation/kernels/squared_error.h"

namespace tessera::stages {
namespace {

/// Encoders work on tiles of up to this many rows.
constexpr std::uint64_t kTileRows = 16;

struct Chunk {
  std::size_t tensor;
  RowRange rows;  ///< within one matrix, so that one slice of the importance holds for all
};

/// Whole tiles of rows with about `weights` weights.
std::uint64_t tiled_rows(std::uint64_t columns, std::uint64_t weights) {
  const std::uint64_t rows = weights / std::max<std::uint64_t>(columns, 1);
  return std::max(rows / kTileRows * kTileRows, kTileRows);
}

void cut(const TensorDescriptor& tensor, std::size_t index, std::uint64_t chunk_weights,
         std::vector<Chunk>& chunks) {
  const std::uint64_t step = tiled_rows(tensor.columns(), chunk_weights);
  const std::uint64_t matrix_rows = tensor.rows_per_matrix();
  for (std::uint64_t matrix = 0; matrix < tensor.rows(); matrix += matrix_rows) {
    for (std::uint64_t row = 0; row < matrix_rows; row += step) {
      chunks.push_back({index, {matrix + row, std::min(step, matrix_rows - row)}});
    }
  }
}

/// The buffers of one thread, reused from chunk to chunk.
struct Worker {
  std::vector<std::byte> stored;
  std::vector<float> weights;
  std::vector<float> decoded;
  std::vector<std::byte> blocks;

  std::span<float> weights_of(std::size_t count) { return grown(weights, count); }
  std::span<float> decoded_of(std::size_t count) { return grown(decoded, count); }
  std::span<std::byte> blocks_of(std::size_t count) { return grown(blocks, count); }

 private:
  template <class T>
  static std::span<T> grown(std::vector<T>& buffer, std::size_t count) {
    if (buffer.size() < count) buffer.resize(count);
    return std::span(buffer).first(count);
  }
};

/// Collects chunk results; reports tensors in order, whichever finishes first.
class Ledger {
 public:
  Ledger(const EncodeJob& job, const std::vector<Chunk>& chunks, ProgressObserver& progress)
      : job_(job), progress_(progress), errors_(job.plan.tensors.size()), sums_(chunks.size()) {
    first_chunk_.resize(job.plan.tensors.size() + 1, chunks.size());
    for (std::size_t i = chunks.size(); i-- > 0;) first_chunk_[chunks[i].tensor] = i;
    for (std::size_t t = job.plan.tensors.size(); t-- > 0;) {
      first_chunk_[t] = std::min(first_chunk_[t], first_chunk_[t + 1]);
      open_chunks_.push_back(first_chunk_[t + 1] - first_chunk_[t]);
    }
    std::ranges::reverse(open_chunks_);
    report_finished();
  }

  void record(std::size_t chunk, std::size_t tensor, const kernels::ErrorSums& sums, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    sums_[chunk] = sums;
    done_bytes_ += bytes;
    progress_.advance(done_bytes_);
    if (--open_chunks_[tensor] == 0) report_finished();
  }

  std::vector<EncodingError> take_errors() { return std::move(errors_); }

 private:
  void report_finished() {
    for (; next_ < errors_.size() && open_chunks_[next_] == 0; ++next_) {
      if (was_finished_before(next_)) {
        errors_[next_] = *job_.finished[next_];
        continue;
      }
      auto& error = errors_[next_];
      for (std::size_t c = first_chunk_[next_]; c < first_chunk_[next_ + 1]; ++c) error.sums += sums_[c];
      error.has_importance = !job_.importance.tensors.empty() && job_.importance.tensors[next_].has_value();
      if (job_.tensor_done) job_.tensor_done(next_, error);
      progress_.item_done(line_of(job_.plan.tensors[next_], error));
    }
  }

  bool was_finished_before(std::size_t tensor) const {
    return !job_.finished.empty() && job_.finished[tensor];
  }

  static std::string line_of(const PlannedTensor& tensor, const EncodingError& error) {
    const auto name = printable(tensor.source.name);
    if (tensor.is_copied()) return fmt::format("{}: copied ({})", name, name_of(tensor.target));
    return fmt::format("{}: {} -> {}, relative error {:.3e}", name, name_of(tensor.source.type),
                       name_of(tensor.target), error.relative());
  }

  const EncodeJob& job_;
  ProgressObserver& progress_;
  std::mutex mutex_;
  std::vector<EncodingError> errors_;
  std::vector<kernels::ErrorSums> sums_;  ///< by chunk; added in chunk order
  std::vector<std::size_t> first_chunk_;  ///< by tensor, with an end mark
  std::vector<std::size_t> open_chunks_;  ///< by tensor
  std::size_t next_ = 0;                  ///< first tensor not yet reported
  std::uint64_t done_bytes_ = 0;
};

/// Does the work of one chunk.
class ChunkEncoder {
 public:
  ChunkEncoder(const EncodeJob& job, const EncodeSettings& settings)
      : job_(job), batch_weights_(settings.batch_weights) {
    for (const auto& tensor : job.plan.tensors) {
      encoders_.push_back(tensor.is_copied() ? codecs::EncodeFunction()
                                             : codecs::encoder_for(settings.encoder, tensor.target));
    }
  }

  kernels::ErrorSums process(const Chunk& chunk, Worker& worker) const {
    const auto& planned = job_.plan.tensors[chunk.tensor];
    const auto stored = job_.source.stored_rows(chunk.tensor, chunk.rows, worker.stored);
    kernels::ErrorSums sums;
    if (planned.is_copied()) {
      if (!info(planned.source.type).quantized && is_weight_type(planned.source.type))
        check(chunk, stored, worker);
      job_.sink.write_rows(chunk.tensor, chunk.rows.first, stored);
    } else {
      sums = encode(chunk, stored, worker);
    }
    job_.source.discard(chunk.tensor, chunk.rows);
    return sums;
  }

 private:
  kernels::ErrorSums encode(const Chunk& chunk, std::span<const std::byte> stored, Worker& worker) const {
    const auto& planned = job_.plan.tensors[chunk.tensor];
    const std::uint64_t columns = planned.source.columns();
    const std::uint64_t stored_row = row_bytes(planned.source.type, columns);
    const std::uint64_t target_row = row_bytes(planned.target, columns);
    const auto importance = importance_of(chunk);
    const auto blocks = worker.blocks_of(chunk.rows.count * target_row);
    const std::uint64_t step = tiled_rows(columns, batch_weights_);
    kernels::ErrorSums sums;
    for (std::uint64_t row = 0; row < chunk.rows.count; row += step) {
      const std::uint64_t rows = std::min(step, chunk.rows.count - row);
      sums += encode_batch({chunk.tensor, {chunk.rows.first + row, rows}}, importance,
                           stored.subspan(row * stored_row, rows * stored_row),
                           blocks.subspan(row * target_row, rows * target_row), worker);
    }
    job_.sink.write_rows(chunk.tensor, chunk.rows.first, blocks);
    return sums;
  }

  kernels::ErrorSums encode_batch(const Chunk& batch, std::span<const float> importance,
                                  std::span<const std::byte> stored, std::span<std::byte> blocks,
                                  Worker& worker) const {
    const auto& planned = job_.plan.tensors[batch.tensor];
    const std::uint64_t columns = planned.source.columns();
    const std::uint64_t first = batch.rows.first * columns;
    const auto weights = worker.weights_of(batch.rows.count * columns);
    codecs::decode_finite(job_.source, batch.tensor, first, stored, weights);
    encoders_[batch.tensor]({weights, columns, importance}, blocks);
    if (!job_.protection.empty()) protect(batch, importance, weights, blocks);
    const auto decoded = worker.decoded_of(weights.size());
    codecs::codec_for(planned.target).decode(blocks, decoded);
    const auto sums = kernels::sum_squared_error(weights, decoded, columns, importance);
    if (!std::isfinite(sums.error)) {
      if (const auto bad = kernels::find_non_finite(decoded))
        refuse_overflow(planned, first + *bad, weights[*bad]);
    }
    return sums;
  }

  /// Encodes the blocks of protected weights again.
  void protect(const Chunk& batch, std::span<const float> importance, std::span<const float> weights,
               std::span<std::byte> blocks) const {
    const auto& planned = job_.plan.tensors[batch.tensor];
    const auto& type = info(planned.target);
    if (!type.quantized) return;
    const std::uint64_t columns = planned.source.columns(), width = type.block_weights;
    const auto& all = job_.protection[batch.tensor];
    std::vector<codecs::ProtectedColumn> inside;
    for (auto next = std::ranges::lower_bound(all, batch.rows.first, {}, &ProtectedWeight::row);
         next != all.end() && next->row < batch.rows.first + batch.rows.count;) {
      const std::uint64_t row = next->row, block = next->column / width;
      inside.clear();
      for (; next != all.end() && next->row == row && next->column / width == block; ++next)
        inside.push_back({next->column % width, next->restored});
      const std::uint64_t first = (row - batch.rows.first) * columns + block * width;
      codecs::protect_block(
          encoders_[batch.tensor], codecs::codec_for(planned.target),
          {weights.subspan(first, width),
           importance.empty() ? importance : importance.subspan(block * width, width), inside},
          blocks.subspan(first / width * type.block_bytes, type.block_bytes));
    }
  }

  /// Copied weights are checked like encoded ones, piece by piece: a copied chunk may be one very long row.
  void check(const Chunk& chunk, std::span<const std::byte> stored, Worker& worker) const {
    constexpr std::size_t kPiece = 1u << 16;
    const auto& tensor = job_.plan.tensors[chunk.tensor].source;
    const std::size_t width = info(tensor.type).block_bytes;
    for (std::size_t begin = 0; begin < stored.size(); begin += kPiece * width) {
      const auto piece = stored.subspan(begin, std::min(kPiece * width, stored.size() - begin));
      const std::uint64_t first = chunk.rows.first * tensor.columns() + begin / width;
      codecs::decode_finite(job_.source, chunk.tensor, first, piece, worker.weights_of(piece.size() / width));
    }
  }

  [[noreturn]] void refuse_overflow(const PlannedTensor& planned, std::uint64_t index, float value) const {
    throw BadFileError(
        {.file = job_.source.name(), .tensor = planned.source.name},
        fmt::format("weight at row {}, column {} is {}, beyond the range of {}; choose a type with a wider "
                    "range for this tensor with --tensor-type (BF16 or F32)",
                    index / planned.source.columns(), index % planned.source.columns(), value,
                    name_of(planned.target)));
  }

  std::vector<float> importance_of(const Chunk& chunk) const {
    if (job_.importance.tensors.empty() || !job_.importance.tensors[chunk.tensor]) return {};
    const auto matrix = chunk.rows.first / job_.plan.tensors[chunk.tensor].source.rows_per_matrix();
    return job_.importance.tensors[chunk.tensor]->entry.importance(matrix);
  }

  const EncodeJob& job_;
  std::uint64_t batch_weights_;
  std::vector<codecs::EncodeFunction> encoders_;  ///< by tensor; empty for copies
};

}  // namespace

std::vector<EncodingError> encode_tensors(const EncodeJob& job, const EncodeSettings& settings,
                                          ProgressObserver& progress, const StopFlag& stop) {
  std::vector<Chunk> chunks;
  std::uint64_t total_bytes = 0;
  for (std::size_t i = 0; i < job.plan.tensors.size(); ++i) {
    if (!job.finished.empty() && job.finished[i]) continue;
    cut(job.plan.tensors[i].source, i, settings.chunk_weights, chunks);
    total_bytes += job.plan.tensors[i].source.bytes();
  }
  const ChunkEncoder encoder(job, settings);
  std::vector<Worker> workers(static_cast<std::size_t>(resolve_threads(settings.threads)));
  progress.begin("quantize", total_bytes);
  Ledger ledger(job, chunks, progress);
  parallel_for(chunks.size(), settings.threads, [&](std::size_t item, int worker) {
    stop.check();
    const Chunk& chunk = chunks[item];
    const auto sums = encoder.process(chunk, workers[static_cast<std::size_t>(worker)]);
    const auto& source = job.plan.tensors[chunk.tensor].source;
    ledger.record(item, chunk.tensor, sums, chunk.rows.count * row_bytes(source.type, source.columns()));
  });
  progress.end();
  return ledger.take_errors();
}

}  // namespace tessera::stages
