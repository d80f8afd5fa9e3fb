// Activation spikes of down projections, and the weights behind them: Yu et al. 2024, "The Super Weight in
// Large Language Models", arXiv 2411.07191, section 3.1.
//
// For one token let x be the input and y the output of a down projection, and let the level of either be the
// median magnitude of its elements that are not 0. A column c spikes when |x[c]| >= input_ratio * level(x), a
// row r when |y[r]| >= output_ratio * level(y). Where a row spikes, of all columns that do the one with the
// largest product |w[r][c] x[c]| crosses it; w[r][c] is a super weight when this product alone is a spike of
// the sign of y[r]. A column that is large for all rows alike thus makes none. Its score is |w[r][c] x[c]| /
// level(y), the largest over all tokens.
//
// The paper looks at the maximum over all tokens and channels by eye; the levels put "far above all others"
// in numbers that several spikes at one position do not hide. Experts are looked at one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "foundation/codecs/row_reader.h"
#include "foundation/tensor/weight_source.h"
#include "model/forward/forward_observer.h"

namespace tessera::stages {

struct SpikeSettings {
  double input_ratio = 50;   ///< above 1
  double output_ratio = 50;  ///< above 1
};

/// A crossing of spikes.
struct Spike {
  std::size_t tensor = 0;  ///< of the source
  std::uint64_t row = 0;   ///< experts count as further rows
  std::uint64_t column = 0;
  float value = 0;  ///< of the weight
  double score = 0;
};

class SpikeObserver final : public model::ForwardObserver {
 public:
  /// `source` has the weights of the pass and outlives this; `lanes` as ForwardPass::lanes.
  SpikeObserver(const WeightSource& source, const SpikeSettings& settings, std::size_t lanes);

  void linear_input(const model::LinearInput& input) override;
  void linear_output(const model::LinearOutput& output) override;
  bool wants_outputs() const override { return true; }

  /// All that was seen, by place, and forgets it.
  std::vector<Spike> collect();

 private:
  /// A spike of an input.
  struct Column {
    std::size_t token = 0;
    std::size_t column = 0;
    float value = 0;
  };
  struct Lane {
    codecs::RowReader rows;
    std::vector<Column> columns = {};  ///< of the input that was seen last, by token
    std::map<std::tuple<std::size_t, std::uint64_t, std::uint64_t>, Spike> spikes = {};  ///< by place
    std::vector<float> values = {}, magnitudes = {};
  };

  bool is_down(std::size_t tensor) const;
  void find_crossings(std::size_t tensor, std::uint64_t first_row, std::span<const Column> columns,
                      std::span<const float> outputs, Lane& lane) const;

  const WeightSource& source_;
  SpikeSettings settings_;
  std::vector<Lane> lanes_;
};

/// Throws UsageError saying what to do unless both ratios are finite and above 1.
void require_spike_settings(const SpikeSettings& settings);

/// The median magnitude of the elements that are not 0; 0 where all are. `scratch` is used.
float level_of(std::span<const float> values, std::vector<float>& scratch);

}  // namespace tessera::stages
