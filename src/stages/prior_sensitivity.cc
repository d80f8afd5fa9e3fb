#include "stages/prior_sensitivity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numbers>

#include "artifacts/tensor_rule.h"
#include "foundation/base/counter_random.h"
#include "foundation/codecs/codec.h"
#include "foundation/kernels/squared_error.h"
#include "model/architecture/tensor_role.h"

namespace tessera::stages {
namespace {

using model::TensorRole;

struct RoleFactor {
  TensorRole role;
  double factor;
};

constexpr std::array kRoleFactors = {
    RoleFactor{TensorRole::output, 1.8},
    RoleFactor{TensorRole::token_embedding, 1.0},
    RoleFactor{TensorRole::attention_query, 0.40},
    RoleFactor{TensorRole::attention_key, 0.70},
    RoleFactor{TensorRole::attention_value, 0.31},
    RoleFactor{TensorRole::attention_query_key_value, 0.47},
    RoleFactor{TensorRole::attention_latent, 0.70},
    RoleFactor{TensorRole::attention_output, 0.17},
    RoleFactor{TensorRole::ffn_gate, 0.10},
    RoleFactor{TensorRole::ffn_up, 0.06},
    RoleFactor{TensorRole::ffn_down, 0.16},
};
/// Of roles without a figure: the mean over the measured model's weights.
constexpr double kOtherFactor = 0.6;

constexpr double kFirstLayer = 5;
constexpr double kSecondLayer = 1.5;
constexpr double kLastLayer = 2;

constexpr std::size_t kSampleRows = 16;
constexpr std::size_t kSampleColumns = 1024;
constexpr std::uint64_t kSampleSeed = 1;

double role_factor(TensorRole role) {
  const auto* const found = std::ranges::find(kRoleFactors, role, &RoleFactor::role);
  return found == kRoleFactors.end() ? kOtherFactor : found->factor;
}

/// A token embedding that is the output matrix too pays for both.
double role_factor(const model::TensorPlace& place, const model::ModelFacts& facts) {
  const double factor = role_factor(place.role);
  const bool is_tied = place.role == TensorRole::token_embedding && !facts.has_output;
  return is_tied ? factor + role_factor(TensorRole::output) : factor;
}

double depth_factor(const model::TensorPlace& place, const model::ModelFacts& facts) {
  if (!place.layer) return 1;
  if (*place.layer == 0) return kFirstLayer;
  if (*place.layer + 1 == facts.layer_count) return kLastLayer;
  return *place.layer == 1 ? kSecondLayer : 1;
}

/// Weights of the tensor that one token meets.
double active_weights(const TensorDescriptor& tensor, const model::ModelFacts& facts) {
  const auto weights = static_cast<double>(tensor.weights());
  if (facts.experts == 0 || facts.experts_used == 0) return weights;
  if (expert_kind_of(tensor.name) != ExpertKind::routed) return weights;
  return weights * facts.experts_used / facts.experts;
}

/// By Box and Muller.
std::vector<float> normal_sample() {
  std::vector<float> sample(kSampleRows * kSampleColumns);
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform_at(kSampleSeed, i, 0)));
    sample[i] = static_cast<float>(radius * std::cos(2 * std::numbers::pi * uniform_at(kSampleSeed, i, 1)));
  }
  return sample;
}

}  // namespace

double relative_error_of(ElementType type) {
  const auto sample = normal_sample();
  const auto& codec = codecs::codec_for(type);
  std::vector<std::byte> blocks(kSampleRows * row_bytes(type, kSampleColumns));
  codec.encode({sample, kSampleColumns, {}}, blocks);
  std::vector<float> decoded(sample.size());
  codec.decode(blocks, decoded);
  const auto sums = kernels::sum_squared_error(sample, decoded, kSampleColumns, {});
  return sums.error / sums.energy;
}

Sensitivity prior_sensitivity(std::span<const PriorCandidates> tensors, const model::ModelFacts& facts) {
  double all_weights = 0;
  std::map<ElementType, double> errors;
  for (const auto& [tensor, types] : tensors) {
    all_weights += active_weights(tensor, facts);
    for (const auto type : types) {
      if (!errors.contains(type)) errors[type] = relative_error_of(type);
    }
  }
  Sensitivity sensitivity{SensitivityMethod::prior, {}};
  for (const auto& [tensor, types] : tensors) {
    const auto place = model::place_of(tensor.name);
    const double weight =
        active_weights(tensor, facts) / all_weights * role_factor(place, facts) * depth_factor(place, facts);
    TensorSensitivity row{tensor.name, {}};
    for (const auto type : types) row.candidates.push_back({type, weight * errors.at(type)});
    sensitivity.tensors.push_back(std::move(row));
  }
  return sensitivity;
}

}  // namespace tessera::stages
