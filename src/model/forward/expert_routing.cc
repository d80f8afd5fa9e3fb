#include "model/forward/expert_routing.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "foundation/kernels/softmax.h"

namespace tessera::model {

ExpertGroups::ExpertGroups(std::size_t experts, std::size_t used, std::span<const std::uint32_t> chosen,
                           std::span<const float> weights)
    : first_(experts + 1), rows_(chosen.size()), weights_(weights.size()) {
  assert(weights.empty() || chosen.size() == weights.size());
  for (const std::uint32_t expert : chosen) ++first_[expert + 1];
  std::partial_sum(first_.begin(), first_.end(), first_.begin());
  std::vector<std::size_t> next(first_.begin(), first_.end() - 1);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::size_t place = next[chosen[i]]++;
    rows_[place] = static_cast<std::uint32_t>(i / used);
    if (!weights.empty()) weights_[place] = weights[i];
  }
}

void choose_experts(const MixtureConfig& config, std::span<float> scores, std::span<std::uint32_t> chosen,
                    std::span<float> weights) {
  constexpr float kTaken = -1;
  kernels::masked_softmax(scores, 1.0f, 0, scores.size());
  float sum = 0;
  for (std::size_t slot = 0; slot < config.used; ++slot) {
    // Not by max_element, whose answer among NaN may be one that is taken.
    std::size_t best = scores.size();
    for (std::size_t expert = 0; expert < scores.size(); ++expert) {
      if (scores[expert] == kTaken) continue;
      if (best == scores.size() || scores[expert] > scores[best]) best = expert;
    }
    chosen[slot] = static_cast<std::uint32_t>(best);
    weights[slot] = scores[best];
    sum += scores[best];
    scores[best] = kTaken;
  }
  if (!config.normalized) return;
  for (float& weight : weights.first(config.used)) weight /= sum;
}

}  // namespace tessera::model
