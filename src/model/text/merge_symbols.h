// The merging at the heart of byte pair encoding: of all neighbours that make a token together, the most
// urgent pair becomes one symbol, until no pair is left (Sennrich et al., "Neural Machine Translation of Rare
// Words with Subword Units", ACL 2016, section 3.2). Of equally urgent pairs the leftmost goes first.
//
// A heap of candidate pairs keeps this at n log n for n symbols. A candidate whose symbols have changed since
// is recognised by its length and passed over.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/text/token_table.h"

namespace tessera::model {

/// A part of a word; a linked list, in which a merged symbol's right half has length 0.
struct Symbol {
  static constexpr std::int32_t kNone = -1;
  std::int32_t previous;
  std::int32_t next;
  std::uint32_t begin;   ///< bytes from the start of the word
  std::uint32_t length;  ///< bytes
  TokenId token;         ///< kNone when the bytes are no token
};

struct Merge {
  double order;  ///< the least goes first
  TokenId token;
};

class SymbolMerger {
 public:
  void clear() { symbols_.clear(); }
  /// Appends a symbol of `length` bytes to the word.
  void add(std::uint32_t length, TokenId token) {
    const auto index = static_cast<std::int32_t>(symbols_.size());
    const std::uint32_t begin = symbols_.empty() ? 0 : symbols_.back().begin + symbols_.back().length;
    if (!symbols_.empty()) symbols_.back().next = index;
    symbols_.push_back({index - 1, Symbol::kNone, begin, length, token});
  }

  /// Merges until `rule(left, right)`, an optional<Merge>, has nothing for any neighbours.
  template <class Rule>
  void merge(const Rule& rule) {
    candidates_.clear();
    for (std::int32_t i = 1; i < static_cast<std::int32_t>(symbols_.size()); ++i) collect(i - 1, i, rule);
    std::ranges::make_heap(candidates_, is_later);
    while (!candidates_.empty()) {
      std::ranges::pop_heap(candidates_, is_later);
      const Candidate candidate = candidates_.back();
      candidates_.pop_back();
      Symbol& left = at(candidate.left);
      Symbol& right = at(candidate.right);
      if (left.length == 0 || right.length == 0 || left.length + right.length != candidate.length) continue;
      left.length = candidate.length;
      left.token = candidate.token;
      left.next = right.next;
      right.length = 0;
      if (right.next != Symbol::kNone) at(right.next).previous = candidate.left;
      if (left.previous != Symbol::kNone) consider(left.previous, candidate.left, rule);
      if (left.next != Symbol::kNone) consider(candidate.left, left.next, rule);
    }
  }

  /// Calls `use` for every symbol that is left, in order.
  template <class Use>
  void for_each(const Use& use) const {
    for (std::int32_t i = symbols_.empty() ? Symbol::kNone : 0; i != Symbol::kNone;) {
      const Symbol& symbol = symbols_[static_cast<std::size_t>(i)];
      use(symbol);
      i = symbol.next;
    }
  }

 private:
  struct Candidate {
    double order;
    std::int32_t left;
    std::int32_t right;
    std::uint32_t length;
    TokenId token;
  };

  static bool is_later(const Candidate& a, const Candidate& b) {
    return a.order > b.order || (a.order == b.order && a.left > b.left);
  }

  Symbol& at(std::int32_t index) { return symbols_[static_cast<std::size_t>(index)]; }

  /// Appends the pair to the candidates, if the rule has something for it; the heap is then to be restored.
  template <class Rule>
  bool collect(std::int32_t left, std::int32_t right, const Rule& rule) {
    const std::optional<Merge> merge = rule(at(left), at(right));
    if (!merge) return false;
    candidates_.push_back({merge->order, left, right, at(left).length + at(right).length, merge->token});
    return true;
  }

  template <class Rule>
  void consider(std::int32_t left, std::int32_t right, const Rule& rule) {
    if (collect(left, right, rule)) std::ranges::push_heap(candidates_, is_later);
  }

  std::vector<Symbol> symbols_;
  std::vector<Candidate> candidates_;
};

}  // namespace tessera::model
