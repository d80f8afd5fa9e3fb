#include "stages/calibrate.h"

#include <algorithm>
#include <span>

#include "foundation/kernels/column_statistics.h"

namespace tessera::stages {
namespace {

template <class T>
void add_rows(const model::LinearInput& input, ColumnStatistics& statistics) {
  const std::size_t columns = input.rows.columns();
  const std::span rows(reinterpret_cast<const T*>(input.rows.row(input.first_row)), input.tokens * columns);
  kernels::add_column_squares(rows, columns, statistics.sums);
  kernels::max_column_magnitudes(rows, columns, statistics.maxima);
}

void merge(const ColumnStatistics& from, ColumnStatistics& to) {
  to.sums.resize(from.sums.size());
  to.maxima.resize(from.maxima.size());
  for (std::size_t c = 0; c < from.sums.size(); ++c) {
    to.sums[c] += from.sums[c];
    to.maxima[c] = std::max(to.maxima[c], from.maxima[c]);
  }
  to.count += from.count;
}

}  // namespace

void InputStatistics::linear_input(const model::LinearInput& input) {
  Lane& lane = lanes_[input.place.lane];
  const std::size_t reader = input.tensors.front();
  auto [found, is_new] = lane.inputs.try_emplace(reader);
  ColumnStatistics& statistics = found->second;
  if (is_new) {
    statistics.sums.resize(input.rows.columns());
    statistics.maxima.resize(input.rows.columns());
    lane.readers[reader].assign(input.tensors.begin(), input.tensors.end());
  }
  if (input.rows.precision() == kernels::Precision::f32) {
    add_rows<float>(input, statistics);
  } else {
    add_rows<std::uint16_t>(input, statistics);
  }
  statistics.count += input.tokens;
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
