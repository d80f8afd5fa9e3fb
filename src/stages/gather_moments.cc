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

/// Sums that are empty are zeros.
void add_sums(const std::vector<float>& more, std::vector<float>& sums) {
  if (more.empty()) return;
  if (sums.empty()) sums.resize(more.size());
  kernels::add(more, sums);
}

}  // namespace

MomentSums::MomentSums(std::size_t columns, const MomentSettings& settings)
    : columns_(columns),
      settings_(settings),
      products_(static_cast<std::size_t>(resolve_threads(settings.threads))) {
  for (const Sum sum : {Sum::unpaired, Sum::paired, Sum::drift}) {
    if (sum != Sum::unpaired && !settings.drift) break;
    for (std::size_t row = 0; row < columns; row += kTileColumns) {
      for (std::size_t column = sum == Sum::drift ? 0 : row; column < columns; column += kTileColumns) {
        tiles_.push_back({sum, row, column, std::min(kTileColumns, columns - row),
                          std::min(kTileColumns, columns - column)});
      }
    }
  }
}

void MomentSums::add(const model::PairedRows& rows) {
  assert(rows.replaced.columns() == columns_);
  if (rows.tokens == 0) return;
  const bool is_paired = settings_.drift && rows.reference != nullptr;
  transpose(rows, is_paired);
  const auto border =
      std::ranges::find_if(tiles_, [](const Tile& tile) { return tile.sum != Sum::unpaired; });
  const auto tiles = is_paired ? std::span(border, tiles_.end()) : std::span(tiles_.begin(), border);
  parallel_for(tiles.size(), settings_.threads, [&](std::size_t index, int worker) {
    Tile& tile = tiles[index];
    const bool is_first = tile.sums.empty();
    tile.sums.resize(tile.height * tile.width);
    const kernels::Matrix& left = tile.sum == Sum::drift ? drift_ : replaced_;
    products_[static_cast<std::size_t>(worker)].multiply({.m = tile.height,
                                                          .n = tile.width,
                                                          .k = rows.tokens,
                                                          .precision = left.precision(),
                                                          .b_transposed = true,
                                                          .accumulate = !is_first},
                                                         left.row(tile.row), replaced_.row(tile.column),
                                                         tile.sums.data());
  });
  tokens_ += rows.tokens;
  if (is_paired) paired_tokens_ += rows.tokens;
}

void MomentSums::add(const MomentSums& other) {
  assert(other.tiles_.size() == tiles_.size() && other.columns_ == columns_);
  parallel_for(tiles_.size(), settings_.threads,
               [&](std::size_t index, int) { add_sums(other.tiles_[index].sums, tiles_[index].sums); });
  tokens_ += other.tokens_;
  paired_tokens_ += other.paired_tokens_;
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
  if (paired_tokens_ > 0) take_means(Sum::drift, paired_tokens_, moments.drift);
  if (paired_tokens_ > 0 && paired_tokens_ < tokens_)
    take_means(Sum::paired, paired_tokens_, moments.paired_second);
  add_paired_to_unpaired();
  take_means(Sum::unpaired, tokens_, moments.second);
  tiles_ = {};
  for (const auto* sums : {&moments.second, &moments.drift}) check_finite(*sums, columns_, file, readers);
  return moments;
}

void MomentSums::add_paired_to_unpaired() {
  if (paired_tokens_ == 0) return;
  const auto paired = std::ranges::find(tiles_, Sum::paired, &Tile::sum);
  parallel_for(static_cast<std::size_t>(paired - tiles_.begin()), settings_.threads,
               [&](std::size_t index, int) {
                 auto& others = paired[static_cast<std::ptrdiff_t>(index)].sums;
                 add_sums(others, tiles_[index].sums);
                 others = {};
               });
}

void MomentSums::take_means(Sum sum, std::uint64_t tokens, std::vector<float>& means) {
  means.resize(columns_ * columns_);
  parallel_for(tiles_.size(), settings_.threads, [&](std::size_t index, int) {
    Tile& tile = tiles_[index];
    if (tile.sum != sum) return;
    write_means(tile, tokens, means);
    if (sum != Sum::paired) tile.sums = {};  // what is paired is part of all as well
  });
}

void MomentSums::write_means(const Tile& tile, std::uint64_t tokens, std::vector<float>& means) const {
  const double scale = 1 / static_cast<double>(tokens);
  const auto mean = [&](std::size_t i, std::size_t j) {
    return static_cast<float>(double{tile.sums[i * tile.width + j]} * scale);
  };
  for (std::size_t i = 0; i < tile.height; ++i) {
    float* row = means.data() + (tile.row + i) * columns_ + tile.column;
    for (std::size_t j = 0; j < tile.width; ++j) row[j] = mean(i, j);
  }
  if (tile.sum == Sum::drift) return;
  // Below the diagonal is what stands above it, also within the tiles on it, whose halves may differ in bits.
  for (std::size_t j = 0; j < tile.width; ++j) {
    const std::size_t above = std::min(tile.height, tile.column + j - tile.row);
    float* mirrored = means.data() + (tile.column + j) * columns_ + tile.row;
    for (std::size_t i = 0; i < above; ++i) mirrored[i] = mean(i, j);
  }
}

}  // namespace tessera::stages
