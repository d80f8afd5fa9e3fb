#include "stages/plan_sidecar.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numbers>
#include <tuple>

#include "model/architecture/kept_tensors.h"
#include "model/architecture/tensor_role.h"

namespace tessera::stages {
namespace {

/// A row or column of a matrix, with its super weights.
struct Line {
  std::size_t tensor = 0;
  std::uint64_t line = 0;
  std::uint64_t bytes = 0;
  std::uint64_t spikes = 0;
  double score = 0;                                                 ///< sum of squares, of coverage alone
  std::map<std::pair<std::uint64_t, std::uint64_t>, float> values;  ///< by row and column
};

std::vector<Line> lines_of_tensor(const SuperWeightList& list, std::span<const std::size_t> weights,
                                  std::size_t tensor, const TensorDescriptor& descriptor) {
  SidecarTensor all;
  for (const auto i : weights) all.weights.push_back({list.weights[i].row, list.weights[i].column, 0, 0});
  const bool by_rows = lines_of(all).by_rows;
  std::map<std::uint64_t, Line> lines;
  for (const auto i : weights) {
    const auto& weight = list.weights[i];
    const auto number = by_rows ? weight.row : weight.column;
    Line& line = lines[number];
    line.tensor = tensor;
    line.line = number;
    line.bytes = sidecar_line_bytes(descriptor.rows(), descriptor.columns());
    if (weight.notion == SuperWeightNotion::activation_spike) {
      ++line.spikes;
    } else {
      line.score += weight.score * weight.score;
    }
    line.values[{weight.row, weight.column}] = weight.value;
  }
  std::vector<Line> result;
  for (auto& [number, line] : lines) result.push_back(std::move(line));
  return result;
}

/// What a line of so many bytes without spikes must have, at least, as the sum of squared scores.
double least_score(const SuperWeightList& list, std::uint64_t bytes) {
  constexpr double kFenceSigmas = 5.7;
  if (!list.coverage || !list.coverage->fence) return std::numeric_limits<double>::infinity();
  const double root_mean_square = *list.coverage->fence / kFenceSigmas;
  return 16 * std::numbers::ln2 * root_mean_square * root_mean_square * static_cast<double>(bytes);
}

/// In the order in which they are taken.
std::vector<Line> ordered_lines(const SuperWeightList& list, std::span<const std::size_t> places,
                                std::span<const TensorDescriptor> tensors) {
  std::map<std::size_t, std::vector<std::size_t>> by_tensor;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (takes_sidecar(tensors[places[i]])) by_tensor[places[i]].push_back(i);
  }
  std::vector<Line> lines;
  for (const auto& [tensor, weights] : by_tensor) {
    auto of_tensor = lines_of_tensor(list, weights, tensor, tensors[tensor]);
    std::ranges::move(of_tensor, std::back_inserter(lines));
  }
  std::erase_if(lines, [&](const Line& line) {
    const bool is_output = model::place_of(tensors[line.tensor].name).role == model::TensorRole::output;
    return line.spikes == 0 && (is_output || line.score < least_score(list, line.bytes));
  });
  const auto rank = [](const Line& line) {
    return std::tuple(line.spikes, line.score / static_cast<double>(line.bytes));
  };
  std::ranges::stable_sort(lines, std::ranges::greater{}, rank);
  return lines;
}

}  // namespace

bool takes_sidecar(const TensorDescriptor& tensor) {
  const auto role = model::place_of(tensor.name).role;
  return tensor.shape.size() == 2 && model::may_be_quantized(tensor) &&
         role != model::TensorRole::token_embedding && role != model::TensorRole::other;
}

Sidecar plan_sidecar(const SuperWeightList& list, std::span<const std::size_t> places,
                     std::span<const TensorDescriptor> tensors, const std::string& architecture,
                     const SidecarSettings& settings) {
  double weights = 0;
  for (const auto& tensor : tensors) weights += static_cast<double>(tensor.weights());
  auto room = static_cast<std::uint64_t>(settings.max_bits_per_weight * weights / 8);
  std::map<std::size_t, std::vector<Line>> taken;
  for (auto& line : ordered_lines(list, places, tensors)) {
    auto& of_tensor = taken[line.tensor];
    if (of_tensor.size() == settings.max_rank || line.bytes > room) continue;
    room -= line.bytes;
    of_tensor.push_back(std::move(line));
  }
  Sidecar sidecar{.architecture = architecture, .base_hash = {}, .tensors = {}};
  for (const auto& [tensor, lines] : taken) {
    if (lines.empty()) continue;
    const auto& descriptor = tensors[tensor];
    SidecarTensor added{descriptor.name, descriptor.rows(), descriptor.columns(), {}};
    std::map<std::pair<std::uint64_t, std::uint64_t>, float> values;
    for (const auto& line : lines) values.insert(line.values.begin(), line.values.end());
    for (const auto& [place, value] : values) added.weights.push_back({place.first, place.second, value, 0});
    sidecar.tensors.push_back(std::move(added));
  }
  return sidecar;
}

}  // namespace tessera::stages
