#include "stages/gather_moments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/kernels/transpose.h"
#include "foundation/kernels/vector_math.h"

namespace tessera::stages {
namespace {

/// With a batch of 2048 tokens both operands of a tile stay in the level-2 cache.
constexpr std::size_t kTileColumns = 256;

void check_finite(std::span<const float> moments, std::size_t columns, const std::string& file,
                  std::span<const std::string> readers) {
  if (moments.empty()) return;
  for (std::size_t column = 0; column < columns; ++column) {
    if (std::isfinite(moments[column * columns + column])) continue;
    throw BadFileError({.file = file, .tensor = fmt::format("{}", fmt::join(readers, ", "))},
                       fmt::format("the input of column {} is NaN, infinite or too large to be squared; the "
                                   "model's activations overflow on the calibration text",
                                   column));
  }
}

}  // namespace

MomentSums::MomentSums(std::size_t columns, const MomentSettings& settings)
    : columns_(columns),
      settings_(settings),
      products_(static_cast<std::size_t>(resolve_threads(settings.threads))) {
  for (const bool drift : {false, true}) {
    if (drift && !settings.drift) continue;
    for (std::size_t row = 0; row < columns; row += kTileColumns) {
      for (std::size_t column = drift ? 0 : row; column < columns; column += kTileColumns) {
        const std::size_t height = std::min(kTileColumns, columns - row);
        const std::size_t width = std::min(kTileColumns, columns - column);
        tiles_.push_back({drift, row, column, height, width, std::vector<float>(height * width)});
      }
    }
  }
}

void MomentSums::add(const model::PairedRows& rows) {
  assert(rows.replaced.columns() == columns_);
  if (rows.tokens == 0) return;
  const bool with_drift = settings_.drift && rows.reference != nullptr;
  transpose(rows, with_drift);
  parallel_for(tile_count(with_drift), settings_.threads, [&](std::size_t index, int worker) {
    Tile& tile = tiles_[index];
    const kernels::Matrix& left = tile.drift ? drift_ : replaced_;
    products_[static_cast<std::size_t>(worker)].multiply({.m = tile.height,
                                                          .n = tile.width,
                                                          .k = rows.tokens,
                                                          .precision = left.precision(),
                                                          .b_transposed = true,
                                                          .accumulate = true},
                                                         left.row(tile.row), replaced_.row(tile.column),
                                                         tile.sums.data());
  });
  tokens_ += rows.tokens;
  if (with_drift) drift_tokens_ += rows.tokens;
}

void MomentSums::add(const MomentSums& other) {
  assert(other.tiles_.size() == tiles_.size() && other.columns_ == columns_);
  parallel_for(tiles_.size(), settings_.threads,
               [&](std::size_t index, int) { kernels::add(other.tiles_[index].sums, tiles_[index].sums); });
  tokens_ += other.tokens_;
  drift_tokens_ += other.drift_tokens_;
}

std::size_t MomentSums::tile_count(bool with_drift) const {
  const auto end = with_drift ? tiles_.end() : std::ranges::find(tiles_, true, &Tile::drift);
  return static_cast<std::size_t>(end - tiles_.begin());
}

void MomentSums::transpose(const model::PairedRows& rows, bool with_drift) {
  const auto fit = [&](kernels::Matrix& matrix) {
    if (matrix.columns() != rows.tokens || matrix.precision() != rows.replaced.precision())
      matrix = kernels::Matrix(rows.replaced.precision(), columns_, rows.tokens);
  };
  fit(replaced_);
  if (with_drift) fit(drift_);
  const std::size_t panels = (columns_ + kTileColumns - 1) / kTileColumns;
  parallel_for(panels, settings_.threads, [&](std::size_t panel, int) {
    const std::size_t first = panel * kTileColumns;
    const std::size_t count = std::min(kTileColumns, columns_ - first);
    const std::size_t bytes = count * rows.tokens * kernels::element_bytes(replaced_.precision());
    kernels::transpose_columns(rows.replaced, rows.tokens, first, {replaced_.row(first), bytes});
    if (!with_drift) return;
    kernels::transpose_columns(*rows.reference, rows.tokens, first, {drift_.row(first), bytes});
    std::vector<float> r(rows.tokens), x(rows.tokens);
    for (std::size_t column = first; column < first + count; ++column) {
      drift_.load(column, r);
      replaced_.load(column, x);
      for (std::size_t t = 0; t < rows.tokens; ++t) r[t] -= x[t];
      drift_.store(column, r);
    }
  });
}

InputMoments MomentSums::take(const std::string& file, std::span<const std::string> readers) {
  assert(tokens_ > 0);
  replaced_ = {};
  drift_ = {};
  InputMoments moments{.columns = columns_, .tokens = tokens_};
  moments.second.resize(columns_ * columns_);
  const bool with_drift = drift_tokens_ > 0;
  if (with_drift) moments.drift.resize(columns_ * columns_);
  parallel_for(tile_count(with_drift), settings_.threads,
               [&](std::size_t index, int) { write_means(tiles_[index], moments); });
  tiles_.clear();
  check_finite(moments.second, columns_, file, readers);
  check_finite(moments.drift, columns_, file, readers);
  return moments;
}

void MomentSums::write_means(Tile& tile, InputMoments& moments) const {
  const double scale = 1 / static_cast<double>(tile.drift ? drift_tokens_ : tokens_);
  for (float& sum : tile.sums) sum = static_cast<float>(double{sum} * scale);
  auto& target = tile.drift ? moments.drift : moments.second;
  for (std::size_t i = 0; i < tile.height; ++i) {
    const auto row = std::span(tile.sums).subspan(i * tile.width, tile.width);
    std::ranges::copy(row, target.begin() + (tile.row + i) * columns_ + tile.column);
  }
  if (!tile.drift) {
    // Below the diagonal is what stands above it, also within the tiles on it, whose halves may differ in
    // bits.
    for (std::size_t j = 0; j < tile.width; ++j) {
      const std::size_t above = std::min(tile.height, tile.column + j - tile.row);
      float* mirrored = target.data() + (tile.column + j) * columns_ + tile.row;
      for (std::size_t i = 0; i < above; ++i) mirrored[i] = tile.sums[i * tile.width + j];
    }
  }
  tile.sums = {};
}

}  // namespace tessera::stages
