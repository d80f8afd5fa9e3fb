#include "model/architecture/smoothing_fold.h"

#include <algorithm>

namespace tessera::model {
namespace {

/// Of decoders with a norm before attention and before a gated feed-forward, and nothing else on the way: the
/// norms of query and key heads that Qwen3 has come after its linears and are not in the way.
constexpr std::array kDecoderFolds = {
    FoldRule{"attention",
             "blk.{}.attn_norm.weight",
             {},
             {"blk.{}.attn_q.weight", "blk.{}.attn_k.weight", "blk.{}.attn_v.weight"}},
    FoldRule{"attention_output",
             "blk.{}.attn_v.weight",
             "blk.{}.attn_v.bias",
             {"blk.{}.attn_output.weight"},
             FoldChannels::grouped_heads},
    FoldRule{
        "feed_forward", "blk.{}.ffn_norm.weight", {}, {"blk.{}.ffn_gate.weight", "blk.{}.ffn_up.weight"}},
    FoldRule{"down", "blk.{}.ffn_up.weight", "blk.{}.ffn_up.bias", {"blk.{}.ffn_down.weight"}},
};

constexpr auto kFoldNames = [] {
  std::array<std::string_view, kDecoderFolds.size()> names{};
  std::ranges::transform(kDecoderFolds, names.begin(), &FoldRule::name);
  return names;
}();

constexpr std::array<std::string_view, 3> kArchitectures = {"llama", "qwen2", "qwen3"};

}  // namespace

std::uint64_t carrier_channel(FoldChannels channels, const HeadShape& heads, std::uint64_t column) {
  if (channels == FoldChannels::same) return column;
  const std::uint64_t query_head = column / heads.head_size;
  return query_head / heads.group * heads.head_size + column % heads.head_size;
}

std::span<const FoldRule> smoothing_folds(std::string_view gguf_architecture) {
  if (std::ranges::find(kArchitectures, gguf_architecture) == kArchitectures.end()) return {};
  return kDecoderFolds;
}

std::span<const std::string_view> fold_names() { return kFoldNames; }

std::span<const std::string_view> architectures_with_folds() { return kArchitectures; }

}  // namespace tessera::model
