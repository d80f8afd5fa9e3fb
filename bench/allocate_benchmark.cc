// Time of an allocation: 1,000 tensors with 20 types each, at budgets from near the smallest size to near the
// largest (the argument, in percent of the way).
//
//   allocate_benchmark [--benchmark_filter=allocate/50]

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "stages/plan_dynamic/allocate.h"

namespace tessera::stages {
namespace {

constexpr std::size_t kItems = 1000;
constexpr std::size_t kOptions = 20;

std::vector<AllocationItem> make_items() {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<std::uint64_t> blocks(1u << 12, 1u << 18);
  std::vector<AllocationItem> items(kItems);
  for (auto& item : items) {
    const std::uint64_t count = blocks(random);
    const double scale = std::exp(normal(random));
    for (std::size_t k = 0; k < kOptions; ++k) {
      const std::uint64_t block_bytes = 50 + 11 * k;
      const double bits = static_cast<double>(block_bytes) / 32;
      item.push_back({count * block_bytes, scale * std::pow(4, -bits) * std::exp(0.1 * normal(random))});
    }
  }
  return items;
}

void allocate(benchmark::State& state) {
  const auto items = make_items();
  const auto curve = allocation_curve(items, 2);
  const auto least = curve.front().bytes;
  const auto budget = least + (curve.back().bytes - least) / 100 * static_cast<std::uint64_t>(state.range(0));
  double filled = 0;
  for (auto _ : state) {
    const auto allocation = stages::allocate(items, budget);
    benchmark::DoNotOptimize(allocation.choices.data());
    filled = static_cast<double>(allocation.bytes) / static_cast<double>(budget);
  }
  state.counters["filled"] = filled;
}
BENCHMARK(allocate)->Arg(1)->Arg(10)->Arg(50)->Arg(90)->Arg(99)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tessera::stages

BENCHMARK_MAIN();
