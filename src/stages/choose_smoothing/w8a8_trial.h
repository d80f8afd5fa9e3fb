// W8A8 tried out on the readers of one fold: what it costs at their output, for every way to treat the fold.
//
// Activations and weights are rounded to int8 codes as the integer linear rounds them; codes are exact in
// bfloat16 and their products add up in float32, so a trial runs on the float matrix units. Weights are read
// panel by panel, and all ways are tried on a panel while it is there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "foundation/base/parallel.h"
#include "foundation/base/stop_flag.h"
#include "foundation/kernels/gemm.h"
#include "foundation/kernels/matrix.h"
#include "foundation/tensor/weight_source.h"
#include "stages/choose_smoothing/fold_input.h"

namespace tessera::stages {

/// One way to treat the fold: column j of the input is divided by, of the weights multiplied by, factors[j].
struct SmoothingCandidate {
  std::optional<double> alpha;     ///< empty: left alone
  std::vector<double> scales;      ///< [channels]
  std::vector<float> factors;      ///< [columns]
  kernels::Matrix codes;           ///< of the sampled rows, [sampled, columns]
  std::vector<float> code_scales;  ///< [sampled]
};

/// What a reader, or a panel of its rows, costs under every candidate.
struct TrialErrors {
  std::vector<double> energies;             ///< [sampled]: |x W^T|^2
  std::vector<std::vector<double>> errors;  ///< by candidate, [sampled]
  std::vector<float> weight_maxima;         ///< by candidate
};

class W8A8Trial {
 public:
  W8A8Trial(const WeightSource& source, const FoldInput& input, const SmoothingTrialSettings& settings,
            const StopFlag& stop)
      : source_(source),
        input_(input),
        settings_(settings),
        stop_(stop),
        columns_(input.magnitudes.maxima.size()),
        workers_(static_cast<std::size_t>(resolve_threads(settings.threads))) {}

  /// [channels]: the largest magnitudes of the columns of all readers.
  std::vector<float> weight_maxima();

  /// [channels]: the input's magnitudes.
  std::vector<float> input_maxima() const;

  SmoothingCandidate candidate(std::optional<double> alpha, std::vector<double> scales) const;

  /// By reader.
  std::vector<TrialErrors> run(std::span<const SmoothingCandidate> candidates);

 private:
  struct Worker {
    kernels::MatrixProducts products;
    std::vector<std::byte> stored;
    std::vector<float> weights;  ///< [panel, columns]
    std::vector<float> scaled;   ///< [columns]
    std::vector<float> exact;    ///< [sampled, panel]: X W^T
    std::vector<float> product;  ///< [sampled, panel]
    std::vector<float> scales;   ///< [panel]
    std::vector<std::int8_t> codes;
    kernels::Matrix operand;  ///< [panel, columns]
  };

  std::uint64_t channel(std::uint64_t column) const {
    return carrier_channel(input_.rule.channels, input_.heads, column);
  }
  void fold_maxima(std::span<const float> columns, std::span<float> channels) const;
  std::size_t panels_of(std::size_t reader) const;
  /// The weights of a panel, [rows, columns].
  std::span<const float> read(std::size_t reader, std::size_t panel, Worker& worker) const;
  std::vector<float> column_maxima(std::span<const float> weights) const;
  void quantize_rows(SmoothingCandidate& candidate) const;
  void multiply(const kernels::Matrix& rows, std::size_t outputs, std::span<float> result,
                Worker& worker) const;
  TrialErrors try_panel(std::size_t reader, std::size_t panel, std::span<const SmoothingCandidate> candidates,
                        Worker& worker) const;
  /// Gives the largest magnitude of the multiplied weights.
  float set_weight_codes(std::span<const float> weights, const SmoothingCandidate& candidate,
                         Worker& worker) const;
  static std::vector<double> errors_of(const SmoothingCandidate& candidate, std::size_t outputs,
                                       const Worker& worker);
  static void add(std::span<const double> values, std::span<double> sums);
  static TrialErrors sum_of(std::span<const TrialErrors> panels);

  const WeightSource& source_;
  const FoldInput& input_;
  const SmoothingTrialSettings& settings_;
  const StopFlag& stop_;
  std::size_t columns_;
  std::vector<Worker> workers_;
};

/// Mean over tokens of |y - y_W8A8|^2 / |y|^2: the norms that follow make all tokens equally large, so a few
/// of great energy do not decide.
double relative_error(const TrialErrors& errors, std::size_t candidate);

}  // namespace tessera::stages
