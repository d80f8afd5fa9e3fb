#include "foundation/codecs/shared_pairs.h"

#include <cassert>

namespace tessera::codecs {
namespace {

constexpr int kLeastSets = 4;

class PairSharing {
 public:
  PairSharing(const std::vector<std::vector<std::uint16_t>>& sets, std::size_t elements, std::size_t most)
      : elements_(elements + most), counts_(elements_ * elements_) {
    for (const auto& set : sets) {
      auto& members = sets_.emplace_back(elements_);
      for (const std::uint16_t element : set) {
        assert(element < elements);
        members[element] = true;
      }
      count(members, 1);
    }
  }

  struct Candidate {
    std::size_t first, second;
    int sets;
  };
  Candidate most_frequent() const {
    Candidate best{0, 1, 0};
    for (std::size_t a = 0; a < elements_; ++a) {
      for (std::size_t b = a + 1; b < elements_; ++b) {
        if (counts_[a * elements_ + b] > best.sets) best = {a, b, counts_[a * elements_ + b]};
      }
    }
    return best;
  }

  void replace(const Candidate& pair, std::size_t element) {
    for (auto& set : sets_) {
      if (!set[pair.first] || !set[pair.second]) continue;
      count(set, -1);
      set[pair.first] = set[pair.second] = false;
      set[element] = true;
      count(set, 1);
    }
  }

  std::vector<std::vector<std::uint16_t>> sets() const {
    std::vector<std::vector<std::uint16_t>> result;
    for (const auto& members : sets_) {
      auto& set = result.emplace_back();
      for (std::size_t element = 0; element < elements_; ++element) {
        if (members[element]) set.push_back(static_cast<std::uint16_t>(element));
      }
    }
    return result;
  }

 private:
  void count(const std::vector<bool>& set, int times) {
    for (std::size_t a = 0; a < elements_; ++a) {
      for (std::size_t b = a + 1; set[a] && b < elements_; ++b) {
        if (set[b]) counts_[a * elements_ + b] += times;
      }
    }
  }

  std::size_t elements_;
  std::vector<std::vector<bool>> sets_;
  std::vector<int> counts_;  ///< [first, second]: in how many sets both are
};

}  // namespace

SharedPairs share_pairs(const std::vector<std::vector<std::uint16_t>>& sets, std::size_t elements,
                        std::size_t most) {
  PairSharing sharing(sets, elements, most);
  SharedPairs result;
  while (result.pairs.size() < most) {
    const auto pair = sharing.most_frequent();
    if (pair.sets < kLeastSets) break;
    sharing.replace(pair, elements + result.pairs.size());
    result.pairs.push_back({static_cast<std::uint16_t>(pair.first), static_cast<std::uint16_t>(pair.second)});
  }
  result.sets = sharing.sets();
  return result;
}

}  // namespace tessera::codecs
