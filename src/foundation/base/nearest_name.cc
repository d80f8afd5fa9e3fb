#include "foundation/base/nearest_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace tessera {
namespace {

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

/// Levenshtein's distance, one row of the table at a time.
std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t substituted = diagonal + (lower(left[i - 1]) == lower(right[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
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
