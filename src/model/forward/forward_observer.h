// What looks on while windows pass through a layer: statistics of the inputs and outputs of its linears.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "foundation/kernels/matrix.h"

namespace tessera::model {

/// Which tokens a call is about. Windows are divided among lanes whose number does not depend on the threads;
/// within a lane they come in order and from one thread at a time. An observer that keeps one accumulator per
/// lane and adds them up in the order of lanes therefore needs no lock and gives the same bits every time.
struct TokenPlace {
  std::size_t lane = 0;
  std::size_t window = 0;
  std::size_t first_position = 0;
};

/// Rows [0, tokens) that enter linears, as the matrix product takes them.
struct LinearInput {
  std::span<const std::size_t> tensors;  ///< the weights that read it, as numbered in the WeightSource
  const kernels::Matrix& rows;           ///< [>= tokens, in]
  std::size_t first_row = 0;             ///< of the tokens in `rows`
  std::size_t tokens = 0;
  TokenPlace place;  ///< of the first row, where they are not those of an expert
  /// The expert, where `tensors` stack experts and the rows are those of the tokens that pass this one.
  std::optional<std::size_t> expert = std::nullopt;
};

/// What a linear makes of them, bias included.
struct LinearOutput {
  std::size_t tensor = 0;
  std::span<const float> values;  ///< [tokens, out]
  TokenPlace place;
  std::optional<std::size_t> expert = std::nullopt;  ///< as in LinearInput
};

class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;

  virtual void linear_input(const LinearInput& input) = 0;
  virtual void linear_output(const LinearOutput&) {}
  /// Whether linear_output wants to be called; it costs a pass over the outputs.
  virtual bool wants_outputs() const { return false; }
};

/// Whom linears report to, and about which tokens.
struct Watch {
  ForwardObserver* observer = nullptr;  ///< may be null
  TokenPlace place = {};

  bool wants_outputs() const { return observer != nullptr && observer->wants_outputs(); }
  void report(std::span<const std::size_t> tensors, const kernels::Matrix& rows, std::size_t first_row,
              std::size_t tokens, std::optional<std::size_t> expert = std::nullopt) const {
    if (observer != nullptr) observer->linear_input({tensors, rows, first_row, tokens, place, expert});
  }
};

}  // namespace tessera::model
