// What a tensor is for, read from its GGUF name: "blk.3.ffn_down_exps.weight" is the down projection of
// layer 3.
//
// Grammar of GGUF tensor names: [ "blk." LAYER "." ] STEM "." ( "weight" | "bias" | ... ). The table of stems
// is in the implementation (shared/formats/GGUF.md section 3 lists those of the llama family).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tessera::model {

enum class TensorRole {
  token_embedding,
  output,
  norm,
  attention_query,
  attention_key,
  attention_value,
  attention_query_key_value,  ///< fused
  attention_latent,           ///< low-rank projections of multi-head latent attention (DeepSeek-V2 and after)
  attention_output,
  ffn_gate,
  ffn_up,
  ffn_down,
  router,  ///< chooses the experts of a token
  bias,
  other,
};

/// How recipes, tables and reports spell the role, e.g. "attn_v".
std::string_view name_of(TensorRole role);
/// The role of this spelling, or empty.
std::optional<TensorRole> tensor_role_from_name(std::string_view name);
/// All roles, in the order in which a report lists them.
std::span<const TensorRole> all_tensor_roles();

struct TensorPlace {
  TensorRole role = TensorRole::other;
  std::optional<std::uint32_t> layer;  ///< empty outside the blocks

  bool operator==(const TensorPlace&) const = default;
};

/// Role and layer of the tensor of this GGUF name.
TensorPlace place_of(std::string_view tensor_name);

}  // namespace tessera::model
