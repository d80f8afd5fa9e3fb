// Encode and decode throughput of every codec on one core, in weights per second (items_per_second).
//
//   codec_benchmark [--benchmark_filter=encode/Q4_K]
//
// The weights are normal, the importance spans three orders of magnitude; one call encodes 64 rows of 1024,
// which stay in the second-level cache together with their blocks.

#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {
namespace {

constexpr std::size_t kRows = 64;
constexpr std::size_t kColumns = 1024;

struct Workload {
  std::vector<float> weights = std::vector<float>(kRows * kColumns);
  std::vector<float> importance = std::vector<float>(kColumns);

  Workload() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& weight : weights) weight = 0.02f * normal(random);
    for (float& value : importance) value = std::exp(2.0f * normal(random));
  }
  EncodeInput input() const { return {weights, kColumns, importance}; }
};

void count_weights(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRows * kColumns));
}

void encode(benchmark::State& state, const Codec* codec, const Workload* workload) {
  std::vector<std::byte> blocks(kRows * row_bytes(codec->type(), kColumns));
  for (auto _ : state) {
    codec->encode(workload->input(), blocks);
    benchmark::DoNotOptimize(blocks.data());
    benchmark::ClobberMemory();
  }
  count_weights(state);
}

void decode(benchmark::State& state, const Codec* codec, const Workload* workload) {
  std::vector<std::byte> blocks(kRows * row_bytes(codec->type(), kColumns));
  codec->encode(workload->input(), blocks);
  std::vector<float> decoded(kRows * kColumns);
  for (auto _ : state) {
    codec->decode(blocks, decoded);
    benchmark::DoNotOptimize(decoded.data());
    benchmark::ClobberMemory();
  }
  count_weights(state);
}

}  // namespace
}  // namespace tessera::codecs

int main(int argc, char** argv) {
  using namespace tessera::codecs;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const Workload workload;
  for (const Codec* codec : all_codecs()) {
    const std::string name(tessera::name_of(codec->type()));
    benchmark::RegisterBenchmark(("encode/" + name).c_str(), encode, codec, &workload);
    benchmark::RegisterBenchmark(("decode/" + name).c_str(), decode, codec, &workload);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
