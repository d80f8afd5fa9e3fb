#include "foundation/base/nearest_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace tessera {
namespace {

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

/// Optimal string alignment: Levenshtein's distance that also counts an exchange of neighbours as one edit.
/// Of the table only the last three rows are needed.
std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before_last(right.size() + 1);
  std::vector<std::size_t> last(right.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  const auto same = [&](std::size_t i, std::size_t j) { return lower(left[i]) == lower(right[j]); };
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::vector<std::size_t> row(right.size() + 1, i + 1);
    for (std::size_t j = 0; j < right.size(); ++j) {
      row[j + 1] = std::min({row[j] + 1, last[j + 1] + 1, last[j] + (same(i, j) ? 0 : 1)});
      const bool exchanged = i > 0 && j > 0 && same(i, j - 1) && same(i - 1, j);
      if (exchanged) row[j + 1] = std::min(row[j + 1], before_last[j - 1] + 1);
    }
    before_last = std::exchange(last, std::move(row));
  }
  return last.back();
}

}  // namespace

std::optional<std::string_view> nearest_name(std::string_view text, std::span<const std::string_view> names) {
  // Longer ones are no typing mistakes, and hostile files have some.
  constexpr std::size_t kLongestText = 128;
  std::optional<std::string_view> nearest;
  if (text.empty() || text.size() > kLongestText) return nearest;
  std::size_t least = text.size() + kLongestText;
  for (const auto name : names) {
    if (name.size() > kLongestText) continue;
    const std::size_t distance = edit_distance(text, name);
    if (distance >= least || distance * 3 > std::max(text.size(), name.size())) continue;
    least = distance;
    nearest = name;
  }
  return nearest;
}

std::string did_you_mean(std::string_view text, std::span<const std::string_view> names) {
  const auto nearest = nearest_name(text, names);
  return nearest ? fmt::format("; did you mean '{}'?", *nearest) : std::string();
}

}  // namespace tessera
