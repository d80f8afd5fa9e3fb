#include "foundation/codecs/split_codebook.h"

namespace tessera::codecs {
namespace {

std::size_t level_of(CodebookShape shape, std::uint16_t entry, std::size_t weight) {
  return (entry >> (shape.level_bits * weight)) & ((1u << shape.level_bits) - 1u);
}

std::size_t half_combination(CodebookShape shape, std::uint16_t entry, std::size_t first_weight) {
  std::size_t combination = 0;
  for (std::size_t i = shape.width / 2; i-- > 0;) {
    combination = combination * shape.levels + level_of(shape, entry, first_weight + i);
  }
  return combination;
}

}  // namespace

SplitCodebook::SplitCodebook(CodebookShape shape, std::span<const std::uint16_t> entries,
                             std::size_t stride) {
  const std::size_t combinations = shape.half_combinations();
  std::vector<std::vector<std::uint16_t>> lows_of_high(combinations);
  indices_.resize(combinations * combinations);
  for (std::size_t index = 0; index < entries.size(); ++index) {
    const std::size_t low = half_combination(shape, entries[index], 0);
    const std::size_t high = half_combination(shape, entries[index], shape.width / 2);
    indices_[low * combinations + high] = static_cast<std::int32_t>(index);
    lows_of_high[high].push_back(static_cast<std::uint16_t>(low));
  }
  auto [pairs, sets] = share_pairs(lows_of_high, combinations, kPairs);
  const auto place = [&](std::size_t element) { return static_cast<std::uint16_t>(element * stride); };
  for (const auto& pair : pairs) pairs_.push_back({place(pair.first), place(pair.second)});
  for (std::size_t high = 0; high < combinations; ++high) {
    if (sets[high].empty()) continue;
    const std::size_t begin = lows_.size();
    for (const std::uint16_t element : sets[high]) lows_.push_back(place(element));
    runs_.push_back({static_cast<std::uint16_t>(high), static_cast<std::uint16_t>(begin),
                     static_cast<std::uint16_t>(lows_.size())});
  }
}

std::vector<float> magnitudes(CodebookShape shape, std::span<const std::uint16_t> entries,
                              std::span<const float> levels) {
  std::vector<float> all;
  all.reserve(entries.size() * shape.width);
  for (const std::uint16_t entry : entries) {
    for (std::size_t i = 0; i < shape.width; ++i) all.push_back(levels[level_of(shape, entry, i)]);
  }
  return all;
}

}  // namespace tessera::codecs
