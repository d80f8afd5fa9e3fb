#include "stages/plan_dynamic/allocate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>
#include <optional>

#include "foundation/base/error.h"

namespace tessera::stages {
namespace {

/// Rounds of exchanges after the filling. Each finds the best one of all; the gains fall off quickly.
constexpr int kMostExchanges = 256;
/// Share of the loss that an exchange must save, so that rounding cannot keep exchanges going.
constexpr double kLeastSaving = 1e-9;

/// Loss saved per byte on the way from one option to a larger one.
double rate_of(const AllocationOption& from, const AllocationOption& to) {
  return (from.loss - to.loss) / static_cast<double>(to.bytes - from.bytes);
}

/// The options that no other of the item beats in both respects: bytes rise, losses fall.
std::vector<std::size_t> frontier_of(const AllocationItem& item) {
  std::vector<std::size_t> order(item.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, {}, [&](std::size_t option) { return std::pair(item[option].bytes, item[option].loss); });
  std::vector<std::size_t> frontier;
  for (const auto option : order) {
    if (frontier.empty() || item[option].loss < item[frontier.back()].loss) frontier.push_back(option);
  }
  return frontier;
}

/// Those of the frontier on the lower convex hull: rates fall strictly.
std::vector<std::size_t> hull_of(const AllocationItem& item, std::span<const std::size_t> frontier) {
  std::vector<std::size_t> hull;
  for (const auto option : frontier) {
    while (hull.size() > 1 && rate_of(item[hull[hull.size() - 2]], item[hull.back()]) <=
                                  rate_of(item[hull.back()], item[option]))
      hull.pop_back();
    hull.push_back(option);
  }
  return hull;
}

/// From one option of an item to another.
struct Move {
  std::size_t item = 0;
  std::size_t option = 0;   ///< the new one
  std::uint64_t bytes = 0;  ///< more of them for an upgrade, freed by a downgrade
  double loss = 0;          ///< saved by an upgrade, added by a downgrade
  double rate() const { return loss / static_cast<double>(bytes); }
};

/// All items at their smallest, and the steps up their hulls in the order in which a falling Lagrange
/// multiplier takes them.
struct HullWalk {
  std::vector<std::vector<std::size_t>> frontiers;
  Allocation smallest;
  std::vector<Move> steps;

  explicit HullWalk(std::span<const AllocationItem> items) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      assert(!items[i].empty());
      frontiers.push_back(frontier_of(items[i]));
      const auto hull = hull_of(items[i], frontiers.back());
      smallest.choices.push_back(hull.front());
      smallest.bytes += items[i][hull.front()].bytes;
      for (std::size_t k = 1; k < hull.size(); ++k) {
        const auto& from = items[i][hull[k - 1]];
        const auto& to = items[i][hull[k]];
        steps.push_back({i, hull[k], to.bytes - from.bytes, from.loss - to.loss});
      }
    }
    std::ranges::stable_sort(steps, std::ranges::greater{}, &Move::rate);
  }
};

void sum_losses(std::span<const AllocationItem> items, Allocation& allocation) {
  allocation.loss = 0;
  for (std::size_t i = 0; i < items.size(); ++i) allocation.loss += items[i][allocation.choices[i]].loss;
}

/// Upgrades in order of bytes, with the best of every prefix: which one is the best that fits?
class Upgrades {
 public:
  explicit Upgrades(std::vector<Move> moves) : moves_(std::move(moves)) {
    std::ranges::stable_sort(moves_, {}, &Move::bytes);
    Best best;
    for (std::size_t k = 0; k < moves_.size(); ++k) {
      update(best, k);
      best_.push_back(best);
    }
  }

  /// The largest saving for at most `bytes`, not of `item`; ties go to the fewer bytes, then the lower item.
  const Move* find(std::uint64_t bytes, std::size_t item) const {
    const auto end = std::ranges::upper_bound(moves_, bytes, {}, &Move::bytes);
    if (end == moves_.begin()) return nullptr;
    const auto& best = best_[static_cast<std::size_t>(end - moves_.begin()) - 1];
    if (best.first && moves_[*best.first].item != item) return &moves_[*best.first];
    return best.other ? &moves_[*best.other] : nullptr;
  }

 private:
  /// The best move, and the best one of another item.
  struct Best {
    std::optional<std::size_t> first;
    std::optional<std::size_t> other;
  };

  void update(Best& best, std::size_t k) const {
    const auto better = [&](const std::optional<std::size_t>& than) {
      return !than || moves_[k].loss > moves_[*than].loss;
    };
    const bool same_item = best.first && moves_[*best.first].item == moves_[k].item;
    if (better(best.first)) {
      if (!same_item) best.other = best.first;
      best.first = k;
    } else if (!same_item && better(best.other)) {
      best.other = k;
    }
  }

  std::vector<Move> moves_;
  std::vector<Best> best_;  ///< of the moves up to this one
};

class Allocator {
 public:
  Allocator(std::span<const AllocationItem> items, std::uint64_t budget_bytes)
      : items_(items), walk_(items), allocation_(walk_.smallest) {
    if (allocation_.bytes > budget_bytes) {
      throw UsageError(fmt::format("{} bytes are too few: the least possible is {} bytes", budget_bytes,
                                   allocation_.bytes));
    }
    room_ = budget_bytes - allocation_.bytes;
  }

  Allocation run() {
    climb();
    fill();
    for (int round = 0; round < kMostExchanges && exchange(); ++round) fill();
    sum_losses(items_, allocation_);
    return std::move(allocation_);
  }

 private:
  void upgrade(const Move& move) {
    allocation_.choices[move.item] = move.option;
    allocation_.bytes += move.bytes;
    room_ -= move.bytes;
  }

  void downgrade(const Move& move) {
    allocation_.choices[move.item] = move.option;
    allocation_.bytes -= move.bytes;
    room_ += move.bytes;
  }

  /// Up the hulls until the first step that does not fit: there is no better allocation of these bytes.
  void climb() {
    for (const auto& step : walk_.steps) {
      if (step.bytes > room_) return;
      upgrade(step);
    }
  }

  std::vector<Move> upgrades() const {
    std::vector<Move> moves;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto& current = items_[i][allocation_.choices[i]];
      for (const auto option : walk_.frontiers[i]) {
        const auto& to = items_[i][option];
        if (to.loss < current.loss)
          moves.push_back({i, option, to.bytes - current.bytes, current.loss - to.loss});
      }
    }
    return moves;
  }

  std::vector<Move> downgrades() const {
    std::vector<Move> moves;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto& current = items_[i][allocation_.choices[i]];
      for (const auto option : walk_.frontiers[i]) {
        const auto& to = items_[i][option];
        if (to.bytes < current.bytes)
          moves.push_back({i, option, current.bytes - to.bytes, to.loss - current.loss});
      }
    }
    return moves;
  }

  void fill() {
    for (;;) {
      std::optional<Move> best;
      for (const auto& move : upgrades()) {
        if (move.bytes <= room_ && (!best || move.rate() > best->rate())) best = move;
      }
      if (!best) return;
      upgrade(*best);
    }
  }

  /// Makes the one pair of a smaller and a larger item that saves most. False when none does.
  bool exchange() {
    const Upgrades up(upgrades());
    std::optional<Move> best_down;
    const Move* best_up = nullptr;
    sum_losses(items_, allocation_);
    double best_saving = kLeastSaving * allocation_.loss;
    for (const auto& down : downgrades()) {
      const Move* partner = up.find(room_ + down.bytes, down.item);
      if (partner == nullptr || partner->loss - down.loss <= best_saving) continue;
      best_saving = partner->loss - down.loss;
      best_down = down;
      best_up = partner;
    }
    if (!best_down) return false;
    downgrade(*best_down);
    upgrade(*best_up);
    return true;
  }

  std::span<const AllocationItem> items_;
  HullWalk walk_;
  Allocation allocation_;
  std::uint64_t room_ = 0;
};

}  // namespace

Allocation allocate(std::span<const AllocationItem> items, std::uint64_t budget_bytes) {
  return Allocator(items, budget_bytes).run();
}

std::vector<Allocation> allocation_curve(std::span<const AllocationItem> items, std::size_t points) {
  assert(points >= 2);
  const HullWalk walk(items);
  Allocation current = walk.smallest;
  std::uint64_t span_bytes = 0;
  for (const auto& step : walk.steps) span_bytes += step.bytes;
  std::vector<Allocation> curve;
  const auto keep = [&] {
    curve.push_back(current);
    sum_losses(items, curve.back());
  };
  keep();
  for (std::size_t k = 0; k < walk.steps.size(); ++k) {
    const auto& step = walk.steps[k];
    current.choices[step.item] = step.option;
    current.bytes += step.bytes;
    const double share =
        static_cast<double>(current.bytes - walk.smallest.bytes) / static_cast<double>(span_bytes);
    const bool is_last = k + 1 == walk.steps.size();
    // The smallest is there already; the last place is for the largest.
    const bool is_due = curve.size() + 1 < points &&
                        share * static_cast<double>(points - 1) >= static_cast<double>(curve.size());
    if (is_due || is_last) keep();
  }
  return curve;
}

}  // namespace tessera::stages
