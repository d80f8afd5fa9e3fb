#include "model/architecture/kept_tensors.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace tessera::model {
namespace {

/// Parts of names: norms, expert routers, positional embeddings, and small matrices of other architectures.
constexpr std::array<std::string_view, 27> kKeptNameParts = {
    "_norm.weight",
    "ffn_gate_inp.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "position_embd.",
    "token_types.weight",
    "ssm_conv1d.weight",
    "shortconv.conv.weight",
    "attn_rel_b.weight",
    "patch_embd",
    "rel_pos",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
};

}  // namespace

bool may_be_quantized(const TensorDescriptor& tensor) {
  const std::string_view name = tensor.name;
  return tensor.rows() > 1 && is_weight_type(tensor.type) && name.ends_with("weight") &&
         std::ranges::none_of(kKeptNameParts, [name](std::string_view part) {
           return name.find(part) != std::string_view::npos;
         });
}

}  // namespace tessera::model
