#include "stages/summarize_importance.h"

#include <algorithm>
#include <cmath>

namespace tessera::stages {
namespace {

/// Mean importance of all columns of the experts that were seen, expert by expert.
std::vector<ColumnValue> mean_importance(const imatrix::Entry& entry) {
  std::vector<ColumnValue> columns;
  for (std::uint64_t expert = 0; expert < entry.experts(); ++expert) {
    if (entry.counts[expert] == 0) continue;
    const auto count = static_cast<double>(entry.counts[expert]);
    for (std::uint64_t c = 0; c < entry.columns; ++c)
      columns.push_back({expert, c, entry.sums[expert * entry.columns + c] / count});
  }
  return columns;
}

/// Shannon's entropy of the shares p_i = value_i / total, divided by log(n).
std::optional<double> normalised_entropy(const std::vector<ColumnValue>& columns, double total) {
  if (columns.size() < 2 || total <= 0) return std::nullopt;
  double entropy = 0;
  for (const auto& column : columns) {
    const double share = column.value / total;
    if (share > 0) entropy -= share * std::log(share);
  }
  return entropy / std::log(static_cast<double>(columns.size()));
}

std::vector<ColumnValue> largest(std::vector<ColumnValue> columns, std::size_t count) {
  count = std::min(count, columns.size());
  const auto is_before = [](const ColumnValue& left, const ColumnValue& right) {
    if (left.value != right.value) return left.value > right.value;
    return std::pair(left.expert, left.column) < std::pair(right.expert, right.column);
  };
  const auto end = columns.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(columns.begin(), end, columns.end(), is_before);
  columns.erase(end, columns.end());
  return columns;
}

std::optional<ColumnValue> largest_activation(const imatrix::Entry& entry) {
  if (entry.maxima.empty()) return std::nullopt;
  const auto place =
      static_cast<std::uint64_t>(std::ranges::max_element(entry.maxima) - entry.maxima.begin());
  return ColumnValue{place / entry.columns, place % entry.columns, entry.maxima[place]};
}

TensorImportanceSummary summarize(const std::string& name, const imatrix::Entry& entry,
                                  std::size_t top_columns) {
  TensorImportanceSummary summary;
  summary.name = name;
  summary.experts = entry.experts();
  summary.columns = entry.columns;
  const auto columns = mean_importance(entry);
  for (const auto& column : columns) {
    summary.total += column.value;
    summary.dead_columns += column.value == 0;
  }
  summary.entropy = normalised_entropy(columns, summary.total);
  summary.top = largest(columns, top_columns);
  summary.least_count = std::ranges::min(entry.counts);
  summary.most_count = std::ranges::max(entry.counts);
  for (std::uint64_t expert = 0; expert < entry.experts(); ++expert) {
    if (entry.counts[expert] == 0) summary.unseen_experts.push_back(expert);
  }
  summary.maximum = largest_activation(entry);
  if (entry.sensitivity) summary.sensitivity = *entry.sensitivity;
  return summary;
}

}  // namespace

ImportanceSummary summarize_importance(const imatrix::ImatrixFile& matrix, std::size_t top_columns) {
  ImportanceSummary summary{matrix.method, {}};
  double total = 0;
  for (const auto& [name, entry] : matrix.entries) {
    auto& tensor = summary.tensors.emplace_back(summarize(name, entry, top_columns));
    total += tensor.total;
    const auto fisher = matrix.fisher.find(name);
    if (fisher != matrix.fisher.end()) tensor.fisher = fisher->second.type;
  }
  for (auto& tensor : summary.tensors) tensor.share = total > 0 ? tensor.total / total : 0;
  return summary;
}

}  // namespace tessera::stages
