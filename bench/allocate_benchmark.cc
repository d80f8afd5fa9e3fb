// Time of an allocation: 1,000 tensors of 20 types, at sizes between the smallest and the largest possible.
//
//   allocate_benchmark
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <vector>

#include "stages/plan_dynamic/allocate.h"

namespace tessera::stages {
namespace {

constexpr std::size_t kTensors = 1000;
constexpr std::size_t kTypes = 20;

struct Problem {
  std::vector<AllocationItem> items;
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

Problem make_problem() {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  Problem problem;
  for (std::size_t i = 0; i < kTensors; ++i) {
    const double weights = 1e6 * std::exp(normal(random));
    const double scale = weights * std::exp(normal(random));
    AllocationItem item;
    for (std::size_t type = 0; type < kTypes; ++type) {
      const double bits = 1.5 + 0.37 * static_cast<double>(type);
      item.push_back({static_cast<std::uint64_t>(weights * bits / 8),
                      scale * std::exp2(-2 * bits + 0.1 * normal(random))});
    }
    problem.least += item.front().bytes;
    problem.most += item.back().bytes;
    problem.items.push_back(std::move(item));
  }
  return problem;
}

void allocate_model(benchmark::State& state) {
  const auto problem = make_problem();
  const auto percent = static_cast<std::uint64_t>(state.range(0));
  const auto budget = problem.least + (problem.most - problem.least) / 100 * percent;
  double filled = 0;
  for (auto _ : state) {
    const auto allocation = allocate(problem.items, budget);
    filled = 100 * static_cast<double>(allocation.bytes) / static_cast<double>(budget);
    benchmark::DoNotOptimize(allocation);
  }
  state.counters["filled_percent"] = filled;
}

void draw_curve(benchmark::State& state) {
  const auto problem = make_problem();
  for (auto _ : state) benchmark::DoNotOptimize(allocation_curve(problem.items, 40));
}

BENCHMARK(allocate_model)->Arg(5)->Arg(20)->Arg(50)->Arg(80)->Unit(benchmark::kMillisecond);
BENCHMARK(draw_curve)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tessera::stages

BENCHMARK_MAIN();
