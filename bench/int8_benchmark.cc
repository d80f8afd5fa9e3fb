// W8A8 linears beside those in bf16 and f32: alone, on the shapes of a 7 B model, and in a whole model.
//
//   int8_benchmark THREADS [MODEL.gguf [WINDOWS]]
//
// With one thread the figures are of processor time, which other programs on the machine change little; with
// more (0: all cores) of the wall clock.
//
// A linear reads rows of activations and writes rows of float32; the int8 one quantizes its input and scales
// its sums inside the measured time. Few tokens go through it as in generation (all threads share a product),
// many as in a walk (a tile of tokens on one thread). Weights rotate through more memory than caches hold, as
// the layers of a model do. The peak is oneDNN's best s8 product of this run, given a whole matrix and all
// threads. The precisions take turns; figures are medians.
//
// With a model, its linears are quantized per channel in memory; a walk over WINDOWS windows of 512 tokens
// and single tokens of generation are timed in each precision, without the loading of weights.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dnnl.hpp>
#include <functional>
#include <optional>
#include <random>

#include "foundation/base/parallel.h"
#include "foundation/codecs/codec.h"
#include "foundation/kernels/int8_codes.h"
#include "model/architecture/tensor_role.h"
#include "model/forward/decoder_config.h"
#include "model/forward/forward_pass.h"
#include "model/forward/resident_decoder.h"
#include "model/source/open_model.h"

namespace {

using namespace tessera;
using kernels::Precision;

constexpr int kRepeats = 9;
constexpr std::size_t kRotatedBytes = 600 << 20;
constexpr std::size_t kContext = 512;

double seconds_of(int threads, const std::function<void()>& work) {
  const auto now = [threads] {
    timespec time{};
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

/// Medians of each work, which take turns; the first round is not counted.
std::vector<double> medians_in_turn(int threads, const std::vector<std::function<void()>>& works,
                                    int repeats) {
  std::vector<std::vector<double>> seconds(works.size());
  for (int repeat = 0; repeat <= repeats; ++repeat) {
    for (std::size_t i = 0; i < works.size(); ++i) {
      const double taken = seconds_of(threads, works[i]);
      if (repeat > 0) seconds[i].push_back(taken);
    }
  }
  std::vector<double> medians;
  for (auto& each : seconds) {
    std::ranges::nth_element(each, each.begin() + static_cast<std::ptrdiff_t>(each.size() / 2));
    medians.push_back(each[each.size() / 2]);
  }
  return medians;
}

std::vector<float> random_row(std::size_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(columns);
  for (float& value : row) value = normal(random);
  return row;
}

struct Shape {
  std::size_t outputs;
  std::size_t inputs;

  double operations(std::size_t tokens) const { return 2.0 * static_cast<double>(tokens * outputs * inputs); }
};

enum class Kind { int8, bf16, f32 };

model::Linear make_linear(const Shape& shape, Kind kind) {
  const auto row = random_row(shape.inputs, 1);
  model::Linear linear;
  if (kind != Kind::int8) {
    linear.weight =
        kernels::Matrix(kind == Kind::bf16 ? Precision::bf16 : Precision::f32, shape.outputs, shape.inputs);
    for (std::size_t i = 0; i < shape.outputs; ++i) linear.weight.store(i, row);
    return linear;
  }
  std::vector<std::int8_t> codes(row.size());
  const float scale = kernels::symmetric_scale(row);
  kernels::quantize_row(row, scale, codes);
  linear.int8_weight.emplace(std::vector<float>(shape.outputs, scale), shape.inputs);
  for (std::size_t i = 0; i < shape.outputs; ++i) linear.int8_weight->store(i, codes);
  return linear;
}

/// Linears of one shape and kind, one after the other, as a model's layers come.
class RotatedLinears {
 public:
  RotatedLinears(const Shape& shape, Kind kind, std::size_t tokens, Precision input_precision, int threads)
      : shape_(shape),
        threads_(threads),
        input_(input_precision, tokens, shape.inputs),
        result_(tokens * shape.outputs),
        tiled_(threads),
        shared_(&tiled_) {
    for (int i = 0; i < resolve_threads(threads); ++i) workers_.emplace_back(nullptr);
    linears_.push_back(make_linear(shape, kind));
    while (linears_.size() * linears_.front().bytes() < kRotatedBytes) {
      linears_.push_back(make_linear(shape, kind));
    }
    for (std::size_t token = 0; token < tokens; ++token) input_.store(token, random_row(shape.inputs, 2));
  }

  void apply_next() {
    const model::Linear& linear = linears_[next_++ % linears_.size()];
    if (input_.rows() < model::kTileTokens) {
      shared_.apply(linear, {input_, 0, input_.rows()}, false, result_);
      return;
    }
    parallel_for(input_.rows() / model::kTileTokens, threads_, [&](std::size_t tile, int worker) {
      const std::size_t elements = model::kTileTokens * shape_.outputs;
      workers_[static_cast<std::size_t>(worker)].apply(
          linear, {input_, tile * model::kTileTokens, model::kTileTokens}, false,
          std::span(result_).subspan(tile * elements, elements));
    });
  }

 private:
  Shape shape_;
  int threads_;
  kernels::Matrix input_;
  std::vector<float> result_;
  kernels::TiledProducts tiled_;
  model::LinearProducts shared_;
  std::vector<model::LinearProducts> workers_;
  std::vector<model::Linear> linears_;
  std::size_t next_ = 0;
};

/// Operations per second of oneDNN's s8 product of everything at once, in the better of two layouts.
double raw_rate(const Shape& shape, std::size_t tokens, int threads) {
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto dim = [](std::size_t size) { return static_cast<memory::dim>(size); };
  const memory::desc source({dim(tokens), dim(shape.inputs)}, memory::data_type::s8, memory::format_tag::ab);
  const memory::desc result({dim(tokens), dim(shape.outputs)}, memory::data_type::s32,
                            memory::format_tag::ab);
  // Pages that were never written to are one and the same, which the caches hold.
  const auto written = [&](const memory::desc& description) {
    memory bytes(description, engine);
    std::memset(bytes.get_data_handle(), 1, description.get_size());
    return bytes;
  };
  double best = 1e30;
  for (const auto layout : {memory::format_tag::any, memory::format_tag::ba}) {
    const memory::desc weight({dim(shape.inputs), dim(shape.outputs)}, memory::data_type::s8, layout);
    const dnnl::matmul::primitive_desc description({source, weight, result}, engine);
    const dnnl::matmul product(description);
    const memory x = written(source);
    const memory w = written(description.weights_desc());
    const memory y = written(result);
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
      best =
          std::min(best, seconds_of(threads, [&] {
                     product.execute(stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}});
                     stream.wait();
                   }));
    }
  }
  return shape.operations(tokens) / best;
}

void print_linears(int threads) {
  constexpr Shape kShapes[] = {{4096, 4096}, {11008, 4096}, {4096, 11008}};
  double peak = 0;
  std::optional<SingleThreadScope> alone;
  if (threads == 1) alone.emplace();
  for (const auto& shape : kShapes) {
    for (const std::size_t tokens : {512u, 4096u}) peak = std::max(peak, raw_rate(shape, tokens, threads));
  }
  fmt::print("oneDNN's best s8 product: {:.0f} GOP/s on {} threads\n\n", 1e-9 * peak,
             resolve_threads(threads));
  fmt::print(
      "| out x in | tokens | int8 ms | bf16 ms | f32 ms | bf16 / int8 | f32 / int8 | int8 GOP/s | of peak "
      "|\n");
  fmt::print("|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const auto& shape : kShapes) {
    for (const std::size_t tokens : {1u, 16u, 512u, 4096u}) {
      RotatedLinears int8(shape, Kind::int8, tokens, Precision::bf16, threads);
      RotatedLinears bf16(shape, Kind::bf16, tokens, Precision::bf16, threads);
      RotatedLinears f32(shape, Kind::f32, tokens, Precision::f32, threads);
      const auto medians = medians_in_turn(
          threads, {[&] { int8.apply_next(); }, [&] { bf16.apply_next(); }, [&] { f32.apply_next(); }},
          tokens > 512 ? 3 : 3 * kRepeats);
      const double rate = shape.operations(tokens) / medians[0];
      fmt::print("| {} x {} | {} | {:.3f} | {:.3f} | {:.3f} | {:.2f} | {:.2f} | {:.0f} | {:.0f} % |\n",
                 shape.outputs, shape.inputs, tokens, 1e3 * medians[0], 1e3 * medians[1], 1e3 * medians[2],
                 medians[1] / medians[0], medians[2] / medians[0], 1e-9 * rate, 100 * rate / peak);
      std::fflush(stdout);
    }
  }
}

/// A float model whose linears inside layers are W8A8, quantized row by row as they are asked for.
class QuantizedView final : public WeightSource {
 public:
  explicit QuantizedView(const WeightSource& base) : base_(base) {
    for (std::size_t i = 0; i < base.tensors().size(); ++i) {
      const auto& tensor = base.tensors()[i];
      const bool is_linear = tensor.shape.size() == 2 && model::place_of(tensor.name).layer;
      tensors_.push_back({tensor.name, is_linear ? ElementType::I8 : tensor.type, tensor.shape});
      origins_.push_back({i, is_linear ? Part::codes : Part::whole});
      if (!is_linear) continue;
      tensors_.push_back({tensor.name + "_scale", ElementType::F32, {tensor.rows()}});
      origins_.push_back({i, Part::scales});
    }
  }

  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  void discard(std::size_t tensor, RowRange rows) const override {
    if (origins_[tensor].part == Part::whole) base_.discard(origins_[tensor].tensor, rows);
  }
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    const Origin& origin = origins_[tensor];
    if (origin.part == Part::whole) return base_.stored_rows(origin.tensor, rows, scratch);
    const auto& source = base_.tensors()[origin.tensor];
    const RowRange wanted = origin.part == Part::scales ? RowRange{0, source.rows()} : rows;
    std::vector<std::byte> result;
    std::vector<float> weights(source.columns());
    std::vector<std::int8_t> codes(source.columns());
    for (std::uint64_t row = wanted.first; row < wanted.first + wanted.count; ++row) {
      const auto stored = base_.stored_rows(origin.tensor, {row, 1}, scratch);
      codecs::codec_for(source.type).decode(stored, weights);
      const float scale = kernels::symmetric_scale(weights);
      kernels::quantize_row(weights, scale, codes);
      const auto bytes =
          origin.part == Part::scales ? std::as_bytes(std::span(&scale, 1)) : std::as_bytes(std::span(codes));
      result.insert(result.end(), bytes.begin(), bytes.end());
    }
    scratch = std::move(result);
    return scratch;
  }

 private:
  enum class Part { whole, codes, scales };
  struct Origin {
    std::size_t tensor;
    Part part;
  };

  const WeightSource& base_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Origin> origins_;
};

/// Seconds of all layers over `tokens`, the loading of their weights left out.
std::vector<double> walk_seconds(const std::vector<std::pair<const WeightSource*, Precision>>& sides,
                                 const model::DecoderConfig& config, const model::TokenBatch& batch,
                                 int threads) {
  std::vector<std::unique_ptr<model::ForwardPass>> passes;
  for (const auto& [source, precision] : sides) {
    passes.push_back(std::make_unique<model::ForwardPass>(
        *source, config, batch, model::ForwardSettings{.precision = precision, .threads = threads}));
    passes.back()->embed();
  }
  std::vector<double> seconds(sides.size());
  const StopFlag never;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    for (std::size_t i = 0; i < passes.size(); ++i) {
      const auto weights = passes[i]->loader().layer(layer);
      seconds[i] += seconds_of(threads, [&] { passes[i]->run_layer(weights, layer, nullptr, never); });
    }
  }
  return seconds;
}

/// Seconds of one token of generation.
std::vector<double> token_seconds(const std::vector<std::pair<const WeightSource*, Precision>>& sides,
                                  const model::DecoderConfig& config, int threads) {
  constexpr std::size_t kTokens = 64;
  SilentProgress progress;
  const StopFlag never;
  std::vector<std::unique_ptr<model::ResidentDecoder>> decoders;
  std::vector<model::KeyValueCache> caches;
  for (const auto& [source, precision] : sides) {
    decoders.push_back(std::make_unique<model::ResidentDecoder>(
        *source, config, kTokens, model::DecoderSettings{.precision = precision, .threads = threads},
        progress, never));
    caches.push_back(decoders.back()->new_cache());
  }
  std::vector<std::function<void()>> works;
  for (std::size_t i = 0; i < sides.size(); ++i) {
    works.emplace_back([&, i] {
      const std::int32_t token = 5;
      const model::SequenceStep step{caches[i], std::span(&token, 1)};
      decoders[i]->advance(std::span(&step, 1), [](std::size_t, std::size_t, std::span<float>) {});
    });
  }
  return medians_in_turn(threads, works, kTokens - 1);
}

void print_model(const std::string& path, std::size_t windows, int threads) {
  const auto opened = model::open_model(path);
  const auto config = model::read_decoder_config(opened);
  const QuantizedView quantized(*opened.weights);
  const std::vector<std::pair<const WeightSource*, Precision>> sides = {
      {&quantized, kernels::fastest_precision()},
      {opened.weights.get(), kernels::available_precisions().back()},
      {opened.weights.get(), Precision::f32}};
  std::mt19937 random(1);
  std::vector<std::int32_t> tokens(windows * kContext);
  for (auto& token : tokens) token = static_cast<std::int32_t>(random() % config.vocabulary);
  const auto print = [&](const std::string& what, const std::vector<double>& seconds) {
    fmt::print("{}: int8 {:.4f} s, 16-bit {:.4f} s, f32 {:.4f} s; 16-bit / int8 {:.2f}, f32 / int8 {:.2f}\n",
               what, seconds[0], seconds[1], seconds[2], seconds[1] / seconds[0], seconds[2] / seconds[0]);
  };
  print(
      fmt::format("\n{}, {} windows of {} tokens through {} layers", path, windows, kContext, config.layers),
      walk_seconds(sides, config, {tokens, kContext}, threads));
  print("one token of generation, output matrix included", token_seconds(sides, config, threads));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    fmt::print(stderr, "usage: int8_benchmark THREADS [MODEL.gguf [WINDOWS]]\n");
    return 2;
  }
  const int threads = static_cast<int>(std::strtol(argv[1], nullptr, 10));
  print_linears(threads);
  if (argc > 2) print_model(argv[2], argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 16, threads);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "int8_benchmark: {}\n", error.what());
  return 1;
}
