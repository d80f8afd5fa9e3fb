#include "stages/compare_importance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera::stages {
namespace {

std::optional<double> cosine_of(std::span<const double> x, std::span<const double> y) {
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += x[i] * x[i];
    yy += y[i] * y[i];
    xy += x[i] * y[i];
  }
  if (xx == 0 || yy == 0) return std::nullopt;
  // Rounding must not make equal vectors more than equal.
  return std::min(xy / (std::sqrt(xx) * std::sqrt(yy)), 1.0);
}

/// Rank of every value, from 1; equal values get the mean of the ranks they share.
std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double rank = static_cast<double>(begin + 1 + end) / 2;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = rank;
    begin = end;
  }
  return ranks;
}

/// Spearman's coefficient: Pearson's correlation of the ranks, which with ties is not the textbook's
/// 1 - 6 sum d^2 / (n^3 - n).
std::optional<double> rank_correlation_of(std::span<const double> x, std::span<const double> y) {
  auto x_ranks = ranks_of(x);
  auto y_ranks = ranks_of(y);
  const double mean = static_cast<double>(x.size() + 1) / 2;
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = x_ranks[i] - mean, dy = y_ranks[i] - mean;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  if (xx == 0 || yy == 0) return std::nullopt;
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

/// Mean importance of the experts that both entries have seen.
struct SeenByBoth {
  std::vector<double> first, second;
};

void append_mean(const imatrix::Entry& entry, std::uint64_t expert, std::vector<double>& values) {
  for (std::uint64_t c = 0; c < entry.columns; ++c)
    values.push_back(entry.sums[expert * entry.columns + c] / static_cast<double>(entry.counts[expert]));
}

SeenByBoth seen_by_both(const imatrix::Entry& first, const imatrix::Entry& second) {
  SeenByBoth values;
  for (std::uint64_t expert = 0; expert < first.experts(); ++expert) {
    if (first.counts[expert] == 0 || second.counts[expert] == 0) continue;
    append_mean(first, expert, values.first);
    append_mean(second, expert, values.second);
  }
  return values;
}

TensorAgreement compare(const std::string& name, const imatrix::Entry& first, const imatrix::Entry& second,
                        const std::string& second_file) {
  // The legacy form does not know experts; the other file does.
  const auto fitted_second = second.fitted_to(first.experts(), first.columns);
  const auto fitted_first = first.fitted_to(second.experts(), second.columns);
  if (!fitted_second && !fitted_first) {
    throw BadFileError({.file = second_file, .tensor = printable(name)},
                       fmt::format("the entry has {} x {} values, that of the other file {} x {}; compare "
                                   "importance matrices of one model",
                                   second.experts(), second.columns, first.experts(), first.columns));
  }
  const auto values =
      fitted_second ? seen_by_both(first, *fitted_second) : seen_by_both(*fitted_first, second);
  return {name, values.first.size(), cosine_of(values.first, values.second),
          rank_correlation_of(values.first, values.second)};
}

std::vector<std::string> missing_in(const imatrix::ImatrixFile& other, const imatrix::ImatrixFile& matrix) {
  std::vector<std::string> names;
  for (const auto& [name, entry] : matrix.entries) {
    if (!other.entries.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace

ImportanceComparison compare_importance(const imatrix::ImatrixFile& first, const imatrix::ImatrixFile& second,
                                        const std::string& second_file) {
  ImportanceComparison comparison{first.method, second.method, {}, {}, {}};
  for (const auto& [name, entry] : first.entries) {
    const auto other = second.entries.find(name);
    if (other != second.entries.end())
      comparison.tensors.push_back(compare(name, entry, other->second, second_file));
  }
  comparison.only_in_first = missing_in(second, first);
  comparison.only_in_second = missing_in(first, second);
  return comparison;
}

}  // namespace tessera::stages
