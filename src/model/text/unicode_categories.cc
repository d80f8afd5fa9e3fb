#include "model/text/unicode_categories.h"

#include <algorithm>
#include <vector>

namespace tessera::model {
namespace {

constexpr std::size_t kCodePoints = 0x110000;

std::vector<UnicodeCategory> make_table() {
  std::vector<UnicodeCategory> table(kCodePoints);
  const auto ranges = unicode_ranges();
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const std::size_t end = i + 1 < ranges.size() ? ranges[i + 1].first : kCodePoints;
    std::fill(table.begin() + static_cast<std::ptrdiff_t>(ranges[i].first),
              table.begin() + static_cast<std::ptrdiff_t>(end), ranges[i].category);
  }
  return table;
}

}  // namespace

UnicodeCategory category_of(char32_t code_point) {
  static const std::vector<UnicodeCategory> table = make_table();
  return table[code_point];
}

}  // namespace tessera::model
