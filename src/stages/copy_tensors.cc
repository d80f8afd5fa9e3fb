#include "stages/copy_tensors.h"

#include <algorithm>
#include <cassert>
#include <mutex>
#include <vector>

#include "foundation/base/parallel.h"

namespace tessera::stages {
namespace {

/// A piece is about this many bytes.
constexpr std::uint64_t kPieceBytes = std::uint64_t{4} << 20;

struct Piece {
  std::size_t tensor = 0;
  RowRange rows;
};

std::vector<Piece> pieces_of(const WeightSource& source) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const TensorDescriptor& tensor = source.tensors()[i];
    const std::uint64_t step =
        std::max<std::uint64_t>(1, kPieceBytes / row_bytes(tensor.type, tensor.columns()));
    for (std::uint64_t first = 0; first < tensor.rows(); first += step)
      pieces.push_back({i, {first, std::min(step, tensor.rows() - first)}});
  }
  return pieces;
}

}  // namespace

void copy_tensors(const WeightSource& source, TensorSink& sink, int threads, ProgressObserver& progress,
                  const StopFlag& stop) {
  assert(std::ranges::equal(source.tensors(), sink.tensors()));
  std::uint64_t total = 0;
  for (const auto& tensor : source.tensors()) total += tensor.bytes();
  progress.begin("writing", total);
  const auto pieces = pieces_of(source);
  std::vector<std::vector<std::byte>> scratches(static_cast<std::size_t>(resolve_threads(threads)));
  std::mutex mutex;
  std::uint64_t done = 0;
  parallel_for(pieces.size(), threads, [&](std::size_t item, int worker) {
    stop.check();
    const Piece& piece = pieces[item];
    const auto rows =
        source.stored_rows(piece.tensor, piece.rows, scratches[static_cast<std::size_t>(worker)]);
    sink.write_rows(piece.tensor, piece.rows.first, rows);
    source.discard(piece.tensor, piece.rows);
    const std::lock_guard lock(mutex);
    progress.advance(done += rows.size());
  });
  progress.end();
}

}  // namespace tessera::stages
