// Super weights: the few parameters without which a model falls apart, or rounds much worse.
//
// Two notions (SuperWeightNotion), which the tools name apart:
//
//   coverage          The top share of all weights by a score of importance: |w| times the root mean square of
//                     what it is multiplied with, or what gradients say of it.
//   activation_spike  Yu et al. 2024, "The Super Weight in Large Language Models", arXiv 2411.07191: the
//                     scalar of a down projection that turns one spike of its input into one of its output.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

enum class SuperWeightNotion { coverage, activation_spike };

/// One scalar of a model.
struct SuperWeight {
  std::string tensor;        ///< GGUF name
  std::uint64_t row = 0;     ///< of the tensor; in stacked experts: expert * rows of an expert + row
  std::uint64_t column = 0;  ///< of the row
  float value = 0;           ///< as the model has it
  double score = 0;          ///< larger is more important; comparable within a notion only
  SuperWeightNotion notion = SuperWeightNotion::coverage;

  bool operator==(const SuperWeight&) const = default;
};

/// What was found in one model.
struct SuperWeightList {
  /// Says which model: 32 hexadecimal digits over the content of its files.
  std::string model_hash = {};
  /// By notion, then score from the largest, then place: tensor in the model's order, row, column. A weight
  /// that both notions found stands once for each.
  std::vector<SuperWeight> weights = {};

  bool operator==(const SuperWeightList&) const = default;
};

}  // namespace tessera
