#include "model/architecture/tensor_role.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace tessera::model {
namespace {

using enum TensorRole;

struct RoleName {
  TensorRole role;
  std::string_view name;
};

constexpr std::array kRoleNames = {
    RoleName{token_embedding, "token_embd"},
    RoleName{output, "output"},
    RoleName{attention_query, "attn_q"},
    RoleName{attention_key, "attn_k"},
    RoleName{attention_value, "attn_v"},
    RoleName{attention_query_key_value, "attn_qkv"},
    RoleName{attention_latent, "attn_latent"},
    RoleName{attention_output, "attn_output"},
    RoleName{ffn_gate, "ffn_gate"},
    RoleName{ffn_up, "ffn_up"},
    RoleName{ffn_down, "ffn_down"},
    RoleName{router, "ffn_gate_inp"},
    RoleName{norm, "norm"},
    RoleName{bias, "bias"},
    RoleName{other, "other"},
};

struct StemRole {
  std::string_view stem;
  TensorRole role;
};

/// Stems as they stand between "blk.N." and ".weight"; the stacked experts (_exps) and the shared experts
/// (_shexp) of a projection have the role of the projection. Latent attention's attn_kv_b is a value
/// projection to llama-quantize's recipes, the projections around it have no rules there.
constexpr std::array kStems = {
    StemRole{"token_embd", token_embedding},
    StemRole{"per_layer_token_embd", token_embedding},
    StemRole{"output", output},
    StemRole{"attn_q", attention_query},
    StemRole{"attn_k", attention_key},
    StemRole{"attn_v", attention_value},
    StemRole{"attn_kv_b", attention_value},
    StemRole{"attn_qkv", attention_query_key_value},
    StemRole{"attn_q_a", attention_latent},
    StemRole{"attn_q_b", attention_latent},
    StemRole{"attn_kv_a_mqa", attention_latent},
    StemRole{"attn_k_b", attention_latent},
    StemRole{"attn_v_b", attention_latent},
    StemRole{"attn_output", attention_output},
    StemRole{"ffn_gate", ffn_gate},
    StemRole{"ffn_gate_exps", ffn_gate},
    StemRole{"ffn_gate_shexp", ffn_gate},
    StemRole{"ffn_up", ffn_up},
    StemRole{"ffn_up_exps", ffn_up},
    StemRole{"ffn_up_shexp", ffn_up},
    StemRole{"ffn_down", ffn_down},
    StemRole{"ffn_down_exps", ffn_down},
    StemRole{"ffn_down_shexp", ffn_down},
    StemRole{"ffn_gate_inp", router},
    StemRole{"ffn_gate_inp_shexp", router},
};

/// Takes "blk.N." off the front of `name` and gives N.
std::optional<std::uint32_t> take_layer(std::string_view& name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* const end = name.data() + name.size();
  std::uint32_t layer = 0;
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, layer);
  if (error != std::errc() || rest == end || *rest != '.') return std::nullopt;
  name.remove_prefix(static_cast<std::size_t>(rest - name.data()) + 1);
  return layer;
}

TensorRole role_of(std::string_view name) {
  const auto dot = name.find_last_of('.');
  if (dot == std::string_view::npos) return other;
  const auto stem = name.substr(0, dot);
  const auto suffix = name.substr(dot + 1);
  if (suffix == "bias") return bias;
  if (suffix != "weight") return other;
  if (stem.ends_with("_norm")) return norm;
  const auto found = std::ranges::find(kStems, stem, &StemRole::stem);
  return found == kStems.end() ? other : found->role;
}

}  // namespace

std::string_view name_of(TensorRole role) {
  return std::ranges::find(kRoleNames, role, &RoleName::role)->name;
}

std::optional<TensorRole> tensor_role_from_name(std::string_view name) {
  const auto found = std::ranges::find(kRoleNames, name, &RoleName::name);
  if (found == kRoleNames.end()) return std::nullopt;
  return found->role;
}

std::span<const TensorRole> all_tensor_roles() {
  static const auto roles = [] {
    std::array<TensorRole, kRoleNames.size()> all{};
    std::ranges::transform(kRoleNames, all.begin(), &RoleName::role);
    return all;
  }();
  return roles;
}

TensorPlace place_of(std::string_view tensor_name) {
  TensorPlace place;
  place.layer = take_layer(tensor_name);
  place.role = role_of(tensor_name);
  return place;
}

}  // namespace tessera::model
