#include "stages/calibrate.h"

#include <algorithm>
#include <span>

#include "foundation/kernels/column_statistics.h"

namespace tessera::stages {
namespace {

template <class T>
void add_rows(const model::LinearInput& input, std::span<double> sums, std::span<float> maxima) {
  const std::size_t columns = input.rows.columns();
  const std::span rows(reinterpret_cast<const T*>(input.rows.row(input.first_row)), input.tokens * columns);
  kernels::add_column_squares(rows, columns, sums);
  kernels::max_column_magnitudes(rows, columns, maxima);
}

void merge(const ColumnStatistics& from, ColumnStatistics& to) {
  to.sums.resize(from.sums.size());
  to.maxima.resize(from.maxima.size());
  to.counts.resize(from.counts.size());
  for (std::size_t c = 0; c < from.sums.size(); ++c) {
    to.sums[c] += from.sums[c];
    to.maxima[c] = std::max(to.maxima[c], from.maxima[c]);
  }
  for (std::size_t x = 0; x < from.counts.size(); ++x) to.counts[x] += from.counts[x];
}

}  // namespace

void InputStatistics::linear_input(const model::LinearInput& input) {
  Lane& lane = lanes_[input.place.lane];
  const std::size_t reader = input.tensors.front();
  const std::size_t columns = input.rows.columns();
  const std::size_t expert = input.expert.value_or(0);
  auto [found, is_new] = lane.inputs.try_emplace(reader);
  ColumnStatistics& statistics = found->second;
  if (is_new) {
    const std::size_t experts = input.expert ? source_.tensors()[reader].shape.front() : 1;
    statistics.sums.resize(experts * columns);
    statistics.maxima.resize(experts * columns);
    statistics.counts.resize(experts);
    lane.readers[reader].assign(input.tensors.begin(), input.tensors.end());
  }
  const auto sums = std::span(statistics.sums).subspan(expert * columns, columns);
  const auto maxima = std::span(statistics.maxima).subspan(expert * columns, columns);
  if (input.rows.precision() == kernels::Precision::f32) {
    add_rows<float>(input, sums, maxima);
  } else {
    add_rows<std::uint16_t>(input, sums, maxima);
  }
  statistics.counts[expert] += input.tokens;
}

void InputStatistics::collect(CalibrationStatistics& statistics) {
  for (Lane& lane : lanes_) {
    for (const auto& [first, seen] : lane.inputs) {
      for (const std::size_t tensor : lane.readers[first]) {
        merge(seen, statistics[source_.tensors()[tensor].name]);
      }
    }
    lane = {};
  }
}

}  // namespace tessera::stages
