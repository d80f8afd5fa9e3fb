// Super weights: the few parameters without which a model falls apart, or rounds much worse.
//
// Two notions (SuperWeightNotion), which the tools name apart:
//
//   coverage: the top share of all weights by a score of importance, |w| times the root mean square of what
//   it is multiplied with, or what gradients say of it.
//
//   activation_spike: the scalar of a down projection that turns one spike of its input into one of its
//   output. Yu et al. 2024, "The Super Weight in Large Language Models", arXiv 2411.07191.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Columns whose weights the small blocks of block formats scale together.
inline constexpr std::size_t kSuperWeightBlock = 32;

enum class SuperWeightNotion { coverage, activation_spike };

/// "coverage", "activation_spike".
std::string_view name_of(SuperWeightNotion notion);
std::optional<SuperWeightNotion> super_weight_notion_from_name(std::string_view name);

/// One scalar of a model.
struct SuperWeight {
  std::string tensor;        ///< GGUF name
  std::uint64_t row = 0;     ///< of the tensor; in stacked experts: expert * rows of an expert + row
  std::uint64_t column = 0;  ///< of the row
  float value = 0;           ///< as the model has it
  double score = 0;          ///< larger is more important; comparable within a notion only
  SuperWeightNotion notion = SuperWeightNotion::coverage;
  /// |value| by the root mean square of the other weights of its block (kSuperWeightBlock
  /// columns). Empty where all others are 0.
  std::optional<double> block_ratio = std::nullopt;

  bool operator==(const SuperWeight&) const = default;
};

/// What a search by coverage asked and found. Scores are comparable with those of the weights.
struct CoverageOutcome {
  double asked = 0;              ///< share of the weights, above 0
  std::uint64_t considered = 0;  ///< weights that were scored
  std::string score = {};        ///< what the score is, in words
  double threshold = 0;          ///< least score within the share that was asked
  /// Scores below are no outliers of this model, and the share was cut there; empty: it was not to be cut.
  std::optional<double> fence = std::nullopt;
  std::uint64_t found = 0;  ///< weights

  bool operator==(const CoverageOutcome&) const = default;
};

/// What a search for activation spikes did and found.
struct SpikeOutcome {
  double input_ratio = 0;  ///< what counts as a spike: SpikeSettings
  double output_ratio = 0;
  std::uint64_t tokens = 0;  ///< looked at
  std::uint64_t found = 0;   ///< weights

  bool operator==(const SpikeOutcome&) const = default;
};

/// What was found in one model.
struct SuperWeightList {
  /// Says which model: 32 hexadecimal digits over the content of its files; empty: not known.
  std::string model_hash = {};
  /// By notion, then score from the largest, then place: tensor in the model's order, row, column. A weight
  /// that both notions found stands once for each.
  std::vector<SuperWeight> weights = {};
  std::optional<CoverageOutcome> coverage = std::nullopt;  ///< empty: was not looked for
  std::optional<SpikeOutcome> spikes = std::nullopt;       ///< likewise

  bool operator==(const SuperWeightList&) const = default;
};

}  // namespace tessera
