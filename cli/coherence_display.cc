#include "coherence_display.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::cli {
namespace {

constexpr std::size_t kColumnWidth = 56;

/// Continuation bytes of UTF-8 take no place of their own.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/// Cut after at most kColumnWidth characters.
std::string_view head_of(std::string_view word) {
  std::size_t bytes = 0;
  std::size_t width = 0;
  for (; bytes < word.size(); ++bytes) {
    if ((static_cast<unsigned char>(word[bytes]) & 0xc0) != 0x80 && ++width > kColumnWidth) break;
  }
  return word.substr(0, bytes);
}

/// The text in lines of at most kColumnWidth characters. White space of any length, line ends included, is
/// one space; other control characters show as question marks.
std::vector<std::string> wrapped(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '\n' || c == '\t' || c == '\r'; }, ' ');
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  std::vector<std::string> lines(1);
  std::string_view rest = text;
  while (!rest.empty()) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const std::string_view word = head_of(rest.substr(0, rest.find(' ')));
    rest.remove_prefix(word.size());
    std::string& line = lines.back();
    if (line.empty()) {
      line = word;
    } else if (width_of(line) + 1 + width_of(word) <= kColumnWidth) {
      line += fmt::format(" {}", word);
    } else {
      lines.emplace_back(word);
    }
  }
  return lines;
}

std::string padded(const std::string& line) {
  return line + std::string(kColumnWidth - std::min(width_of(line), kColumnWidth), ' ');
}

void print_side_by_side(const std::string& left_text, const std::string& right_text) {
  const auto left = wrapped(left_text);
  const auto right = wrapped(right_text);
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    fmt::print("  {} | {}\n", padded(i < left.size() ? left[i] : ""), i < right.size() ? right[i] : "");
  }
}

void print_figures(std::string_view label, const CoherenceFigures& figures) {
  fmt::print("  {:<18} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>8} {:>6}\n", label,
             figures.perplexity, figures.repetition, figures.looping, figures.distinct[0],
             figures.distinct[1], figures.distinct[2], figures.tokens, figures.ended);
}

std::string summary(const CoherenceText& text) {
  return fmt::format("perplexity {:.2f}, repetition {:.2f}{}", text.perplexity(), text.figures.repetition,
                     text.ended ? ", ended" : "");
}

}  // namespace

void print_coherence(const Coherence& coherence, bool shows_texts) {
  const auto judgement = judge(coherence);
  fmt::print("coherence                {}\n", name_of(judgement.verdict));
  for (const auto& reason : judgement.reasons) fmt::print("  {}\n", reason);
  fmt::print("  {:<18} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>6}\n", "texts", "perplexity",
             "repetition", "looping", "distinct-1", "distinct-2", "distinct-3", "tokens", "ended");
  for (const auto method : {DecodingMethod::greedy, DecodingMethod::sampled}) {
    const auto texts = coherence.compare(method);
    print_figures(fmt::format("{}, original", name_of(method)), texts.original);
    print_figures(fmt::format("{}, quantized", name_of(method)), texts.quantized);
  }
  if (!shows_texts) return;
  for (const auto& pair : coherence.pairs) {
    fmt::print("\n{}: {}\n", name_of(pair.method), pair.prompt);
    print_side_by_side("ORIGINAL: " + summary(pair.original), "QUANTIZED: " + summary(pair.quantized));
    print_side_by_side(pair.original.text, pair.quantized.text);
  }
}

}  // namespace tessera::cli
