#include "stages/plan_dynamic/allocate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>

#include "foundation/base/error.h"

namespace tessera::stages {
namespace {

/// Exchanges times options looked at: bounds the time of the improvement (about 0.1 s).
constexpr std::size_t kMostExchangeWork = 1'000'000;
/// Exchanges that save less than this share of the loss are rounding.
constexpr double kLeastSaving = 1e-12;

/// From one option of an item to a larger one.
struct Step {
  std::size_t item = 0;
  std::size_t to = 0;
  std::uint64_t bytes = 0;
  double saved = 0;

  double ratio() const { return saved / static_cast<double>(bytes); }
};

/// From one option of an item to a smaller one.
struct Retreat {
  std::size_t item = 0;
  std::size_t to = 0;
  std::uint64_t freed = 0;
  double cost = 0;
};

Step step_between(const AllocationItem& item, std::size_t index, std::size_t from, std::size_t to) {
  return {index, to, item[to].bytes - item[from].bytes, item[from].loss - item[to].loss};
}

/// Options in order of bytes, each with less loss than all before it.
std::vector<std::size_t> frontier_of(const AllocationItem& item) {
  assert(!item.empty());
  assert(std::ranges::all_of(item, [](const auto& o) { return std::isfinite(o.loss) && o.loss >= 0; }));
  std::vector<std::size_t> order(item.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::tuple(item[i].bytes, item[i].loss, i); });
  std::vector<std::size_t> frontier;
  for (const auto option : order) {
    if (frontier.empty() || item[option].loss < item[frontier.back()].loss) frontier.push_back(option);
  }
  return frontier;
}

/// The steps along the lower convex hull, their ratios falling.
std::vector<Step> hull_steps(const AllocationItem& item, std::size_t index,
                             std::span<const std::size_t> frontier) {
  std::vector<std::size_t> vertices = {frontier.front()};
  std::vector<Step> steps;
  for (const auto option : frontier.subspan(1)) {
    auto step = step_between(item, index, vertices.back(), option);
    while (!steps.empty() && step.ratio() >= steps.back().ratio()) {
      steps.pop_back();
      vertices.pop_back();
      step = step_between(item, index, vertices.back(), option);
    }
    steps.push_back(step);
    vertices.push_back(option);
  }
  return steps;
}

/// For every place in a list of retreats sorted by bytes freed: the cheapest from there on, and the cheapest
/// of another item.
class CheapestRetreats {
 public:
  explicit CheapestRetreats(std::vector<Retreat> retreats) : retreats_(std::move(retreats)) {
    std::ranges::sort(retreats_, {}, [](const Retreat& r) { return std::tuple(r.freed, r.item, r.to); });
    best_.resize(retreats_.size());
    Pair pair;
    for (std::size_t i = retreats_.size(); i-- > 0;) {
      update(pair, i);
      best_[i] = pair;
    }
  }

  /// The cheapest that frees at least so many bytes and is not of this item.
  const Retreat* find(std::uint64_t bytes, std::size_t item) const {
    const auto from = std::ranges::lower_bound(retreats_, bytes, {}, &Retreat::freed);
    if (from == retreats_.end()) return nullptr;
    const auto& pair = best_[static_cast<std::size_t>(from - retreats_.begin())];
    const auto chosen = retreats_[*pair.first].item != item ? pair.first : pair.second;
    return chosen ? &retreats_[*chosen] : nullptr;
  }

 private:
  struct Pair {
    std::optional<std::size_t> first, second;
  };

  void update(Pair& pair, std::size_t i) const {
    const auto cheaper = [&](std::size_t than) { return retreats_[i].cost <= retreats_[than].cost; };
    const bool same = pair.first && retreats_[*pair.first].item == retreats_[i].item;
    if (!pair.first || cheaper(*pair.first)) {
      if (!same) pair.second = pair.first;
      pair.first = i;
    } else if (!same && (!pair.second || cheaper(*pair.second))) {
      pair.second = i;
    }
  }

  std::vector<Retreat> retreats_;
  std::vector<Pair> best_;
};

class Allocator {
 public:
  explicit Allocator(std::span<const AllocationItem> items) : items_(items) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      frontiers_.push_back(frontier_of(items[i]));
      choices_.push_back(frontiers_.back().front());
      bytes_ += items[i][choices_.back()].bytes;
      const auto steps = hull_steps(items[i], i, frontiers_.back());
      steps_.insert(steps_.end(), steps.begin(), steps.end());
      options_ += items[i].size();
    }
    // Stable: the steps of one item stay in order, and ties between items go by index.
    std::ranges::stable_sort(steps_, std::greater(), &Step::ratio);
  }

  std::uint64_t bytes() const { return bytes_; }
  std::span<const Step> steps() const { return steps_; }

  void take(const Step& step) {
    choices_[step.item] = step.to;
    bytes_ += step.bytes;
  }

  void fit(std::uint64_t budget) {
    walk(budget);
    fill(budget);
    const auto most = kMostExchangeWork / std::max<std::size_t>(options_, 1);
    for (std::size_t i = 0; i < most && exchange(budget); ++i) fill(budget);
    spend(budget);
  }

  Allocation result() const {
    Allocation allocation{choices_, bytes_, 0};
    for (std::size_t i = 0; i < items_.size(); ++i) allocation.loss += items_[i][choices_[i]].loss;
    return allocation;
  }

 private:
  const AllocationOption& chosen(std::size_t item) const { return items_[item][choices_[item]]; }

  /// Steps of the hulls in order; an item whose step does not fit stays where it is.
  void walk(std::uint64_t budget) {
    std::vector<bool> stopped(items_.size());
    for (const auto& step : steps_) {
      if (stopped[step.item]) continue;
      if (step.bytes <= budget - bytes_) {
        take(step);
      } else {
        stopped[step.item] = true;
      }
    }
  }

  template <class Visit>
  void for_each_step(Visit visit) const {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      for (const auto option : frontiers_[i]) {
        if (items_[i][option].loss < chosen(i).loss) visit(step_between(items_[i], i, choices_[i], option));
      }
    }
  }

  /// The best steps that fit, on the hull or not.
  void fill(std::uint64_t budget) {
    for (;;) {
      std::optional<Step> best;
      for_each_step([&](const Step& step) {
        if (step.bytes <= budget - bytes_ && (!best || step.ratio() > best->ratio())) best = step;
      });
      if (!best) return;
      take(*best);
    }
  }

  std::vector<Retreat> retreats() const {
    std::vector<Retreat> found;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      for (const auto option : frontiers_[i]) {
        const auto& smaller = items_[i][option];
        if (smaller.bytes >= chosen(i).bytes) break;
        found.push_back({i, option, chosen(i).bytes - smaller.bytes, smaller.loss - chosen(i).loss});
      }
    }
    return found;
  }

  /// The exchange of two items that saves most; false when none saves anything.
  bool exchange(std::uint64_t budget) {
    const CheapestRetreats cheapest(retreats());
    const std::uint64_t left = budget - bytes_;
    double most = kLeastSaving * result().loss;
    std::optional<Step> forth;
    Retreat back;
    for_each_step([&](const Step& step) {
      // What fits without an exchange, fill() has taken.
      if (step.saved <= most || step.bytes <= left) return;
      const auto* retreat = cheapest.find(step.bytes - left, step.item);
      if (retreat == nullptr || step.saved - retreat->cost <= most) return;
      most = step.saved - retreat->cost;
      forth = step;
      back = *retreat;
    });
    if (!forth) return false;
    choices_[back.item] = back.to;
    bytes_ -= back.freed;
    take(*forth);
    return true;
  }

  /// Larger options of equal loss: losses are estimates, and the size was asked for.
  void spend(std::uint64_t budget) {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      for (std::size_t option = 0; option < items_[i].size(); ++option) {
        const auto& other = items_[i][option];
        if (other.loss > chosen(i).loss || other.bytes <= chosen(i).bytes) continue;
        if (other.bytes - chosen(i).bytes > budget - bytes_) continue;
        bytes_ += other.bytes - chosen(i).bytes;
        choices_[i] = option;
      }
    }
  }

  std::span<const AllocationItem> items_;
  std::vector<std::vector<std::size_t>> frontiers_;  ///< by item
  std::vector<Step> steps_;                          ///< of all hulls, by falling ratio
  std::vector<std::size_t> choices_;
  std::uint64_t bytes_ = 0;
  std::size_t options_ = 0;
};

}  // namespace

Allocation allocate(std::span<const AllocationItem> items, std::uint64_t budget_bytes) {
  Allocator allocator(items);
  if (allocator.bytes() > budget_bytes) {
    throw UsageError(
        fmt::format("{} bytes are less than the {} that the smallest choices take; allow at least "
                    "these",
                    budget_bytes, allocator.bytes()));
  }
  allocator.fit(budget_bytes);
  return allocator.result();
}

std::vector<Allocation> allocation_curve(std::span<const AllocationItem> items, std::size_t points) {
  assert(points >= 2);
  Allocator allocator(items);
  const std::uint64_t least = allocator.bytes();
  std::uint64_t range = 0;
  for (const auto& step : allocator.steps()) range += step.bytes;
  const auto intervals = static_cast<double>(points - 1);
  std::vector<Allocation> curve = {allocator.result()};
  std::size_t taken = 0;
  // A point is kept when it reaches a new interval; the last one ends the last interval.
  for (const auto& step : allocator.steps()) {
    allocator.take(step);
    const double place = static_cast<double>(allocator.bytes() - least) / static_cast<double>(range);
    const auto interval = static_cast<std::size_t>(place * intervals);
    if (interval > taken) curve.push_back(allocator.result());
    taken = std::max(taken, interval);
  }
  return curve;
}

}  // namespace tessera::stages
