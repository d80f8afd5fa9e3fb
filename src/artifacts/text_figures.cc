#include "artifacts/text_figures.h"

#include <algorithm>
#include <map>
#include <vector>

namespace tessera {
namespace {

using Tokens = std::span<const std::int32_t>;

/// For each n-gram, by where it starts, the first place where the same one starts.
std::vector<std::size_t> first_places(Tokens tokens, std::size_t n) {
  std::map<std::vector<std::int32_t>, std::size_t> seen;
  std::vector<std::size_t> places;
  for (std::size_t start = 0; start + n <= tokens.size(); ++start) {
    const auto gram = tokens.subspan(start, n);
    places.push_back(seen.try_emplace({gram.begin(), gram.end()}, start).first->second);
  }
  return places;
}

double distinct(Tokens tokens, std::size_t n) {
  const auto places = first_places(tokens, n);
  if (places.empty()) return 1;
  std::size_t firsts = 0;
  for (std::size_t start = 0; start < places.size(); ++start) firsts += places[start] == start ? 1 : 0;
  return static_cast<double>(firsts) / static_cast<double>(places.size());
}

double repetition(Tokens tokens) {
  if (tokens.empty()) return 0;
  const auto places = first_places(tokens, kRepetitionTokens);
  std::size_t repeated = 0;
  std::size_t counted_to = 0;
  for (std::size_t start = 0; start < places.size(); ++start) {
    if (places[start] == start) continue;
    const std::size_t end = start + kRepetitionTokens;
    repeated += end - std::max(start, counted_to);
    counted_to = end;
  }
  return static_cast<double>(repeated) / static_cast<double>(tokens.size());
}

std::size_t longest_loop(Tokens tokens) {
  std::size_t longest = 0;
  for (std::size_t unit = 1; unit * kLoopTurns <= tokens.size(); ++unit) {
    std::size_t matches = 0;
    for (std::size_t i = unit; i < tokens.size(); ++i) {
      matches = tokens[i] == tokens[i - unit] ? matches + 1 : 0;
      if (matches >= unit * (kLoopTurns - 1)) longest = std::max(longest, matches + unit);
    }
  }
  return longest;
}

}  // namespace

TextFigures text_figures(std::span<const std::int32_t> tokens) {
  return {.tokens = tokens.size(),
          .repetition = repetition(tokens),
          .longest_loop = longest_loop(tokens),
          .distinct = {distinct(tokens, 1), distinct(tokens, 2), distinct(tokens, 3)}};
}

}  // namespace tessera
