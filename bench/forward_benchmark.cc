// Where the time of a walk goes: decoding weights, matrix products, attention, the rest; and how the products
// fare against oneDNN's own best on the same shapes.
//
//   forward_benchmark MODEL.gguf [WINDOWS] [CONTEXT]
//
// Prints processor seconds of each step, summed over threads, for random tokens, and for each linear the rate
// of our products (a tile of tokens on one thread) beside oneDNN given all tokens and all threads.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <random>

#include "foundation/base/parallel.h"
#include "foundation/kernels/tiled_products.h"
#include "model/forward/decoder_config.h"
#include "model/forward/forward_pass.h"
#include "model/source/open_model.h"

namespace {

using namespace tessera;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Seconds of the steps of one layer, by worker.
struct StepSeconds {
  double load_states = 0, project = 0, place = 0, attend = 0, output = 0, feed_forward = 0, store_states = 0;
};

/// LayerForward::run with a clock between the steps.
void timed_run(const model::DecoderConfig& config, const model::LayerWeights& weights, std::size_t window,
               model::LayerForward& forward, model::HiddenStates& states, model::TileActivations& tile,
               model::AttentionHeads& heads, kernels::Matrix& attended, StepSeconds& seconds) {
  const std::size_t context = states.context();
  const auto timed = [](double& sum, const auto& step) {
    const auto start = Clock::now();
    step();
    sum += seconds_since(start);
  };
  const auto each_tile = [&](const auto& body) {
    for (std::size_t first = 0; first < context; first += model::kTileTokens) {
      const std::size_t tokens = std::min(model::kTileTokens, context - first);
      const auto hidden = std::span(tile.hidden).first(tokens * config.embedding);
      timed(seconds.load_states, [&] { states.load(window, first, hidden); });
      body(first, tokens, hidden);
    }
  };
  each_tile([&](std::size_t first, std::size_t tokens, std::span<float>) {
    timed(seconds.project, [&] { forward.project_heads(weights, tokens, tile); });
    timed(seconds.place, [&] { forward.place_heads(weights, tokens, first, first, tile, heads); });
  });
  timed(seconds.attend, [&] { forward.attention().run(heads, {}, forward.products(), attended); });
  each_tile([&](std::size_t first, std::size_t tokens, std::span<float> hidden) {
    timed(seconds.output, [&] { forward.add_attention(weights, tokens, attended, first, tile); });
    timed(seconds.feed_forward, [&] { forward.add_feed_forward(weights, tokens, tile); });
    timed(seconds.store_states, [&] { states.store(window, first, hidden); });
  });
}

struct Shape {
  std::size_t outputs;
  std::size_t inputs;
};

/// GFLOP/s of tiles of tokens, each on one thread, as the walk multiplies.
double tiled_rate(const Shape& shape, std::size_t tokens, kernels::Precision precision, int threads) {
  const std::size_t tiles = tokens / model::kTileTokens;
  const kernels::Matrix weight(precision, shape.outputs, shape.inputs);
  const kernels::Matrix input(precision, tokens, shape.inputs);
  std::vector<float> result(tokens * shape.outputs);
  std::vector<kernels::MatrixProducts> products(static_cast<std::size_t>(resolve_threads(threads)));
  double best = 1e30;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto start = Clock::now();
    parallel_for(tiles, threads, [&](std::size_t index, int worker) {
      products[static_cast<std::size_t>(worker)].multiply(
          {.m = model::kTileTokens,
           .n = shape.outputs,
           .k = shape.inputs,
           .precision = precision,
           .b_transposed = true},
          input.row(index * model::kTileTokens), weight.data(),
          result.data() + index * model::kTileTokens * shape.outputs);
    });
    if (repeat > 0) best = std::min(best, seconds_since(start));
  }
  return 2e-9 * static_cast<double>(tokens * shape.outputs * shape.inputs) / best;
}

/// GFLOP/s of oneDNN given everything at once, with the weight's layout left to it or as it is stored,
/// whichever is faster.
double whole_rate(const Shape& shape, std::size_t tokens, kernels::Precision precision) {
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto type = precision == kernels::Precision::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const auto dim = [](std::size_t size) { return static_cast<memory::dim>(size); };
  const memory::desc source({dim(tokens), dim(shape.inputs)}, type, memory::format_tag::ab);
  const memory::desc result({dim(tokens), dim(shape.outputs)}, memory::data_type::f32,
                            memory::format_tag::ab);
  double best = 1e30;
  for (const auto layout : {memory::format_tag::any, memory::format_tag::ba}) {
    const memory::desc weight({dim(shape.inputs), dim(shape.outputs)}, type, layout);
    const dnnl::matmul::primitive_desc description({source, weight, result}, engine);
    const dnnl::matmul product(description);
    // Pages that were never written to are one and the same, which the caches hold.
    const auto written = [&](const memory::desc& bytes) {
      memory zeros(bytes, engine);
      std::memset(zeros.get_data_handle(), 0, bytes.get_size());
      return zeros;
    };
    const memory x = written(source);
    const memory w = written(description.weights_desc());
    const memory y = written(result);
    for (int repeat = 0; repeat < 5; ++repeat) {
      const auto start = Clock::now();
      product.execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}});
      stream.wait();
      if (repeat > 0) best = std::min(best, seconds_since(start));
    }
  }
  return 2e-9 * static_cast<double>(tokens * shape.outputs * shape.inputs) / best;
}

/// Seconds of a decoding step's product on one thread: in TiledProducts' tiles, or as oneDNN multiplies a
/// row.
double one_row_seconds(const Shape& shape, kernels::Precision precision, bool tiled) {
  const kernels::Matrix weight(precision, shape.outputs, shape.inputs);
  const kernels::Matrix input(precision, 1, shape.inputs);
  std::vector<float> result(shape.outputs);
  kernels::TiledProducts tiles(1);
  kernels::MatrixProducts products;
  double best = 1e30;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto start = Clock::now();
    if (tiled) {
      tiles.multiply({input, 0, 1}, weight, false, result);
    } else {
      products.multiply(
          {.m = 1, .n = shape.outputs, .k = shape.inputs, .precision = precision, .b_transposed = true},
          input.data(), weight.data(), result.data());
    }
    if (repeat > 0) best = std::min(best, seconds_since(start));
  }
  return best;
}

void print_steps(const model::OpenedModel& opened, const model::DecoderConfig& config, std::size_t windows,
                 std::size_t context, kernels::Precision precision) {
  std::mt19937 random(1);
  std::vector<std::int32_t> tokens(windows * context);
  for (auto& token : tokens) token = static_cast<std::int32_t>(random() % config.vocabulary);
  model::ForwardPass pass(*opened.weights, config, {tokens, context}, {.precision = precision});
  pass.embed();
  const int threads =
      static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(resolve_threads(0)), windows));
  std::vector<StepSeconds> sums(static_cast<std::size_t>(threads));
  double decode = 0;
  double wall = 0;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    const auto start = Clock::now();
    const auto weights = pass.loader().layer(layer);
    decode += seconds_since(start);
    parallel_for(static_cast<std::size_t>(threads), threads, [&](std::size_t worker, int) {
      model::LayerForward forward(config, pass.rope(), precision, context);
      model::TileActivations tile(config, precision, std::min(context, model::kTileTokens));
      model::AttentionHeads heads(config, precision, context, context);
      kernels::Matrix attended(precision, context, config.query_width());
      for (std::size_t window = worker; window < windows; window += static_cast<std::size_t>(threads)) {
        timed_run(config, weights, window, forward, pass.states(), tile, heads, attended, sums[worker]);
      }
    });
    wall += seconds_since(start);
  }
  StepSeconds sum;
  for (const auto& s : sums) {
    sum.load_states += s.load_states;
    sum.project += s.project;
    sum.place += s.place;
    sum.attend += s.attend;
    sum.output += s.output;
    sum.feed_forward += s.feed_forward;
    sum.store_states += s.store_states;
  }
  fmt::print("{} windows of {}, {} layers, {}: {:.3f} s wall on {} threads\n", windows, context,
             config.layers, precision == kernels::Precision::bf16 ? "bf16" : "f32", wall, threads);
  fmt::print(
      "thread seconds: decode weights {:.3f}, norm and q/k/v {:.3f}, rotate {:.3f}, attention {:.3f}, "
      "attention output {:.3f}, feed-forward {:.3f}, hidden states {:.3f}\n",
      decode * threads, sum.project, sum.place, sum.attend, sum.output, sum.feed_forward,
      sum.load_states + sum.store_states);
}

void print_products(const model::DecoderConfig& config, std::size_t tokens, kernels::Precision precision) {
  const auto row = [&](const char* name, const Shape& shape) {
    const double tiled = tiled_rate(shape, tokens, precision, 0);
    const double whole = whole_rate(shape, tokens, precision);
    fmt::print("{:<18} [{:>6}, {:>6}]  {:>7.0f} GFLOP/s, oneDNN at once {:>7.0f}, ratio {:.2f}\n", name,
               shape.outputs, shape.inputs, tiled, whole, tiled / whole);
  };
  row("query", {config.query_width(), config.embedding});
  row("key, value", {config.key_value_width(), config.embedding});
  row("attention output", {config.embedding, config.query_width()});
  row("gate, up", {config.feed_forward, config.embedding});
  row("down", {config.embedding, config.feed_forward});
  fmt::print("one token, gate: {:.3f} ms in tiles, {:.3f} ms as a single row, one thread\n",
             1e3 * one_row_seconds({config.feed_forward, config.embedding}, precision, true),
             1e3 * one_row_seconds({config.feed_forward, config.embedding}, precision, false));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    fmt::print(stderr, "usage: forward_benchmark MODEL.gguf [WINDOWS] [CONTEXT]\n");
    return 2;
  }
  const std::size_t windows = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 64;
  const std::size_t context = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 512;
  const auto opened = model::open_model(argv[1]);
  const auto config = model::read_decoder_config(opened);
  const auto precision = kernels::fastest_precision();
  print_steps(opened, config, windows, context, precision);
  print_products(config, std::max<std::size_t>(8 * model::kTileTokens, 4096), precision);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "forward_benchmark: {}\n", error.what());
  return 1;
}
