#include "stages/gather_moments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/kernels/transpose.h"

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
  for (const bool cross : {false, true}) {
    if (cross && !settings.cross) continue;
    for (std::size_t row = 0; row < columns; row += kTileColumns) {
      for (std::size_t column = cross ? 0 : row; column < columns; column += kTileColumns) {
        const std::size_t height = std::min(kTileColumns, columns - row);
        const std::size_t width = std::min(kTileColumns, columns - column);
        tiles_.push_back({cross, row, column, height, width, std::vector<float>(height * width)});
      }
    }
  }
}

void MomentSums::add(const model::PairedRows& rows) {
  assert(rows.replaced.columns() == columns_ && rows.reference.columns() == columns_);
  if (rows.tokens == 0) return;
  transpose(rows);
  parallel_for(tiles_.size(), settings_.threads, [&](std::size_t index, int worker) {
    Tile& tile = tiles_[index];
    const kernels::Matrix& left = tile.cross ? reference_ : replaced_;
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
}

void MomentSums::transpose(const model::PairedRows& rows) {
  struct Way {
    const kernels::Matrix& from;
    kernels::Matrix& to;
  };
  std::vector<Way> ways = {{rows.replaced, replaced_}};
  if (settings_.cross) ways.push_back({rows.reference, reference_});
  for (const Way& way : ways) {
    if (way.to.columns() != rows.tokens || way.to.precision() != way.from.precision())
      way.to = kernels::Matrix(way.from.precision(), columns_, rows.tokens);
  }
  const std::size_t panels = (columns_ + kTileColumns - 1) / kTileColumns;
  parallel_for(panels * ways.size(), settings_.threads, [&](std::size_t item, int) {
    const Way& way = ways[item % ways.size()];
    const std::size_t first = item / ways.size() * kTileColumns;
    const std::size_t count = std::min(kTileColumns, columns_ - first);
    const std::size_t row_bytes = rows.tokens * kernels::element_bytes(way.to.precision());
    kernels::transpose_columns(way.from, rows.tokens, first, {way.to.row(first), count * row_bytes});
  });
}

InputMoments MomentSums::take(const std::string& file, std::span<const std::string> readers) {
  assert(tokens_ > 0);
  replaced_ = {};
  reference_ = {};
  InputMoments moments{.columns = columns_, .tokens = tokens_};
  moments.second.resize(columns_ * columns_);
  if (settings_.cross) moments.cross.resize(columns_ * columns_);
  parallel_for(tiles_.size(), settings_.threads,
               [&](std::size_t index, int) { write_means(tiles_[index], moments); });
  check_finite(moments.second, columns_, file, readers);
  check_finite(moments.cross, columns_, file, readers);
  return moments;
}

void MomentSums::write_means(Tile& tile, InputMoments& moments) const {
  const double scale = 1 / static_cast<double>(tokens_);
  for (float& sum : tile.sums) sum = static_cast<float>(double{sum} * scale);
  auto& target = tile.cross ? moments.cross : moments.second;
  for (std::size_t i = 0; i < tile.height; ++i) {
    const auto row = std::span(tile.sums).subspan(i * tile.width, tile.width);
    std::ranges::copy(row, target.begin() + (tile.row + i) * columns_ + tile.column);
  }
  if (!tile.cross) {
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
