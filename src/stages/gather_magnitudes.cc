#include "stages/gather_magnitudes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"

namespace tessera::stages {
namespace {

/// Columns of one thread's piece of work.
constexpr std::size_t kStripColumns = 256;

/// Magnitudes that decide the percentile: it is the least of so many largest.
std::size_t kept_values(std::uint64_t tokens, double percentile) {
  const double rank = std::ceil(percentile / 100 * static_cast<double>(tokens));
  return static_cast<std::size_t>(tokens - static_cast<std::uint64_t>(std::max(rank, 1.0)) + 1);
}

}  // namespace

MagnitudeGatherer::MagnitudeGatherer(std::size_t columns, std::uint64_t tokens,
                                     const MagnitudeSettings& settings)
    : columns_(columns),
      tokens_(tokens),
      settings_(settings),
      kept_(kept_values(tokens, settings.percentile)),
      largest_(columns * kept_, 0.0f) {
  assert(tokens > 0 && settings.percentile > kLeastPercentile && settings.percentile <= 100);
}

void MagnitudeGatherer::add(const kernels::Matrix& batch, std::size_t count) {
  assert(batch.columns() == columns_ && seen_ + count <= tokens_);
  const std::size_t strips = (columns_ + kStripColumns - 1) / kStripColumns;
  parallel_for(strips, settings_.threads, [&](std::size_t strip, int) {
    add_largest(batch, count, strip * kStripColumns, std::min(columns_, (strip + 1) * kStripColumns));
  });
  sample(batch, count);
  seen_ += count;
}

void MagnitudeGatherer::add_largest(const kernels::Matrix& batch, std::size_t count, std::size_t first,
                                    std::size_t last) {
  const std::size_t element = kernels::element_bytes(batch.precision());
  std::vector<float> row(last - first);
  for (std::size_t r = 0; r < count; ++r) {
    kernels::load_elements(batch.precision(), batch.row(r) + first * element, row);
    for (std::size_t c = first; c < last; ++c) {
      const float value = std::abs(row[c - first]);
      const auto heap = std::span(largest_).subspan(c * kept_, kept_);
      // What is not a number counts as larger than all, and so stays to be found.
      const float magnitude = std::isnan(value) ? std::numeric_limits<float>::infinity() : value;
      if (!(magnitude > heap.front())) continue;
      std::ranges::pop_heap(heap, std::greater());
      heap.back() = magnitude;
      std::ranges::push_heap(heap, std::greater());
    }
  }
}

void MagnitudeGatherer::sample(const kernels::Matrix& batch, std::size_t count) {
  const auto wanted = std::min<std::uint64_t>(settings_.sampled_rows, tokens_);
  if (rows_.rows() == 0) rows_ = kernels::Matrix(batch.precision(), wanted, columns_);
  while (sampled_ < wanted) {
    const std::uint64_t token = sampled_ * tokens_ / wanted;
    if (token >= seen_ + count) return;
    const std::size_t bytes = columns_ * kernels::element_bytes(batch.precision());
    std::memcpy(rows_.row(sampled_), batch.row(token - seen_), bytes);
    ++sampled_;
  }
}

InputMagnitudes MagnitudeGatherer::take(const std::string& file, std::span<const std::string> readers) {
  assert(seen_ == tokens_);
  InputMagnitudes result;
  for (std::size_t c = 0; c < columns_; ++c) {
    const auto heap = std::span(largest_).subspan(c * kept_, kept_);
    if (!std::isfinite(*std::ranges::max_element(heap))) {
      throw BadFileError({.file = file, .tensor = fmt::format("{}", fmt::join(readers, ", "))},
                         fmt::format("the input of column {} is NaN or infinite; the model's activations "
                                     "overflow on the calibration text",
                                     c));
    }
    result.maxima.push_back(heap.front());
  }
  result.rows = std::move(rows_);
  return result;
}

}  // namespace tessera::stages
