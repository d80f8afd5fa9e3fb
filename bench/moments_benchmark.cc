// How fast second moments add up (stages/gather_moments.h), beside the rate of a linear's products on the
// same machine at the same time.
//
//   moments_benchmark [TOKENS] [THREADS]
//
// For n columns and T tokens H is n (n + 1) T floating-point operations and C 2 n^2 T; the time includes
// transposing the batch.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>

#include "foundation/base/parallel.h"
#include "foundation/kernels/gemm.h"
#include "model/forward/layer_forward.h"
#include "stages/gather_moments.h"

namespace {

using namespace tessera;
using Clock = std::chrono::steady_clock;

constexpr int kRepeats = 8;

kernels::Matrix random_rows(kernels::Precision precision, std::size_t rows, std::size_t columns) {
  kernels::Matrix matrix(precision, rows, columns);
  std::mt19937 random(1);
  std::vector<float> row(columns);
  for (std::size_t r = 0; r < rows; ++r) {
    for (float& value : row) value = static_cast<float>(random() % 1024) / 512 - 1;
    matrix.store(r, row);
  }
  return matrix;
}

/// Seconds of the fastest call, the first one left out.
template <class Body>
double best_seconds(const Body& body) {
  double best = 1e30;
  for (int repeat = 0; repeat <= kRepeats; ++repeat) {
    const auto start = Clock::now();
    body();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (repeat > 0) best = std::min(best, seconds);
  }
  return best;
}

double linear_seconds(const kernels::Matrix& rows, int threads) {
  const std::size_t columns = rows.columns();
  const kernels::Matrix weight = random_rows(rows.precision(), columns, columns);
  std::vector<float> result(rows.rows() * columns);
  std::vector<kernels::MatrixProducts> products(static_cast<std::size_t>(resolve_threads(threads)));
  return best_seconds([&] {
    parallel_for(rows.rows() / model::kTileTokens, threads, [&](std::size_t tile, int worker) {
      products[static_cast<std::size_t>(worker)].multiply(
          {.m = model::kTileTokens,
           .n = columns,
           .k = columns,
           .precision = rows.precision(),
           .b_transposed = true},
          rows.row(tile * model::kTileTokens), weight.data(),
          result.data() + tile * model::kTileTokens * columns);
    });
  });
}

void print_rates(std::size_t columns, std::size_t tokens, kernels::Precision precision, int threads) {
  const auto rows = random_rows(precision, tokens, columns);
  const double square = static_cast<double>(columns) * static_cast<double>(columns);
  const double products = 1e-9 * square * static_cast<double>(tokens);  // and halves of H are alike
  const auto seconds = [&](bool drift) {
    stages::MomentSums sums(columns, {.drift = drift, .threads = threads});
    return best_seconds([&] { sums.add({&rows, rows, tokens}); });
  };
  fmt::print("{:<4} n {:>5}: H {:>5.0f} GFLOP/s, H and D {:>5.0f}, a linear {:>5.0f}\n",
             precision == kernels::Precision::bf16 ? "bf16" : "f32", columns, products / seconds(false),
             3 * products / seconds(true), 2 * products / linear_seconds(rows, threads));
}

}  // namespace

int main(int argc, char** argv) try {
  const std::size_t tokens = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 2048;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 0;
  for (const auto precision : kernels::available_precisions()) {
    for (const std::size_t columns : {1024, 2048, 4096}) print_rates(columns, tokens, precision, threads);
  }
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "moments_benchmark: {}\n", error.what());
  return 1;
}
