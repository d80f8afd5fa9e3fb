// Which experts of a mixture each token passes, and with what weights (Shazeer et al., "Outrageously Large
// Neural Networks", arXiv 1701.06538; Fedus et al., arXiv 2101.03961):
//
//   p = softmax(R m)            over all experts, R [experts, e], m the normalized row, all in float32
//   the token passes the experts with the largest p, the lower number first where p is equal
//   its weights are their p, divided by the sum of them where MixtureConfig::normalized
//
// Mixtral's softmax over the chosen ones alone is the same as the normalized p.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/forward/decoder_config.h"

namespace tessera::model {

/// Rows by expert: those of expert x are entries [first(x), first(x) + count(x)) of `rows` and `weights`,
/// their numbers rising.
class ExpertGroups {
 public:
  /// From the experts and weights of all rows, [rows, used]; no weights where nobody asks for them.
  ExpertGroups(std::size_t experts, std::size_t used, std::span<const std::uint32_t> chosen,
               std::span<const float> weights);

  std::size_t experts() const { return first_.size() - 1; }
  std::size_t count(std::size_t expert) const { return first_[expert + 1] - first_[expert]; }
  std::span<const std::uint32_t> rows(std::size_t expert) const {
    return std::span(rows_).subspan(first_[expert], count(expert));
  }
  std::span<const float> weights(std::size_t expert) const {
    return std::span(weights_).subspan(first_[expert], count(expert));
  }

 private:
  std::vector<std::size_t> first_;  ///< [experts + 1]
  std::vector<std::uint32_t> rows_;
  std::vector<float> weights_;
};

/// The experts of one row: `scores` are its R m, [experts], and are overwritten; `chosen` and `weights` have
/// config.used elements, the largest weight first. NaN among the scores gives experts all the same.
void choose_experts(const MixtureConfig& config, std::span<float> scores, std::span<std::uint32_t> chosen,
                    std::span<float> weights);

}  // namespace tessera::model
