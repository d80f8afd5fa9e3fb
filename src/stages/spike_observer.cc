#include "stages/spike_observer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "foundation/base/error.h"
#include "foundation/kernels/vector_math.h"
#include "model/architecture/tensor_role.h"

namespace tessera::stages {

SpikeObserver::SpikeObserver(const WeightSource& source, const SpikeSettings& settings, std::size_t lanes)
    : source_(source), settings_(settings), lanes_(lanes, Lane{codecs::RowReader(source)}) {}

void SpikeObserver::linear_input(const model::LinearInput& input) {
  if (!is_down(input.tensors.front())) return;
  Lane& lane = lanes_[input.place.lane];
  lane.columns.clear();
  lane.values.resize(input.rows.columns());
  for (std::size_t token = 0; token < input.tokens; ++token) {
    input.rows.load(input.first_row + token, lane.values);
    const float level = level_of(lane.values, lane.magnitudes);
    if (level == 0) continue;
    for (std::size_t c = 0; c < lane.values.size(); ++c) {
      if (std::abs(lane.values[c]) >= settings_.input_ratio * level)
        lane.columns.push_back({token, c, lane.values[c]});
    }
  }
}

void SpikeObserver::linear_output(const model::LinearOutput& output) {
  if (!is_down(output.tensor)) return;
  Lane& lane = lanes_[output.place.lane];
  const std::size_t rows = source_.tensors()[output.tensor].rows_per_matrix();
  const std::uint64_t first_row = output.expert.value_or(0) * rows;
  const std::span<const Column> columns = lane.columns;
  for (auto begin = columns.begin(); begin != columns.end();) {
    const std::size_t token = begin->token;
    const auto end =
        std::find_if(begin, columns.end(), [token](const Column& column) { return column.token != token; });
    find_crossings(output.tensor, first_row, {begin, end}, kernels::row_of(output.values, token, rows), lane);
    begin = end;
  }
}

void SpikeObserver::find_crossings(std::size_t tensor, std::uint64_t first_row,
                                   std::span<const Column> columns, std::span<const float> outputs,
                                   Lane& lane) const {
  const double least = settings_.output_ratio * level_of(outputs, lane.magnitudes);
  if (least == 0) return;
  for (std::size_t r = 0; r < outputs.size(); ++r) {
    if (std::abs(outputs[r]) < least) continue;
    const auto weights = lane.rows.row(tensor, first_row + r);
    const auto product = [&](const Column& column) { return weights[column.column] * column.value; };
    const auto& crossing = *std::ranges::max_element(
        columns, {}, [&](const Column& column) { return std::abs(product(column)); });
    const double given = std::copysign(product(crossing), product(crossing) * outputs[r]);
    if (given < least) continue;
    auto& spike = lane.spikes[{tensor, first_row + r, crossing.column}];
    spike.tensor = tensor;
    spike.row = first_row + r;
    spike.column = crossing.column;
    spike.value = weights[crossing.column];
    spike.score = std::max(spike.score, given * settings_.output_ratio / least);
  }
}

std::vector<Spike> SpikeObserver::collect() {
  std::map<std::tuple<std::size_t, std::uint64_t, std::uint64_t>, Spike> all;
  for (Lane& lane : lanes_) {
    for (const auto& [place, spike] : lane.spikes) {
      auto& merged = all[place];
      if (spike.score > merged.score) merged = spike;
    }
    lane.spikes.clear();
  }
  std::vector<Spike> spikes;
  for (const auto& [place, spike] : all) spikes.push_back(spike);
  return spikes;
}

bool SpikeObserver::is_down(std::size_t tensor) const {
  return model::place_of(source_.tensors()[tensor].name).role == model::TensorRole::ffn_down;
}

void require_spike_settings(const SpikeSettings& settings) {
  for (const double ratio : {settings.input_ratio, settings.output_ratio}) {
    if (ratio > 1 && std::isfinite(ratio)) continue;
    throw UsageError(
        fmt::format("a spike ratio of {} is out of range: say how many times the median magnitude of "
                    "its vector a spike is, above 1; 50 is usual",
                    ratio));
  }
}

float level_of(std::span<const float> values, std::vector<float>& scratch) {
  scratch.clear();
  for (const float value : values) {
    if (value != 0) scratch.push_back(std::abs(value));
  }
  if (scratch.empty()) return 0;
  const auto middle = scratch.begin() + static_cast<std::ptrdiff_t>(scratch.size() / 2);
  std::ranges::nth_element(scratch, middle);
  return *middle;
}

}  // namespace tessera::stages
