// What the forward pass must know of a decoder-only transformer: sizes, rotary embedding, norms, windows.
//
// The families differ in little: which pairs of a head the rotary embedding turns (a table in the
// implementation), what a mixture of experts does with their weights (likewise), and which optional tensors
// they have (biases, norms of query and key heads), which the tensors themselves tell. Everything else is
// read from GGUF metadata (shared/formats/GGUF.md section 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "foundation/kernels/rope.h"
#include "model/source/open_model.h"

namespace tessera::model {

/// Feed-forward blocks of every layer, of which each token passes a few.
struct MixtureConfig {
  std::uint32_t experts = 0;
  std::uint32_t used = 0;          ///< experts of a layer that a token passes; at most `experts`
  std::uint32_t feed_forward = 0;  ///< width between gate/up and down of one expert
  bool normalized = true;          ///< the weights of a token's experts add up to 1
};

struct DecoderConfig {
  std::uint32_t layers = 0;
  std::uint32_t embedding = 0;  ///< width of the residual stream
  /// Width between gate/up and down of the block that every token passes: in a mixture the shared expert, and
  /// 0 where there is none.
  std::uint32_t feed_forward = 0;
  std::optional<MixtureConfig> mixture = std::nullopt;
  std::uint32_t heads = 0;      ///< query heads
  std::uint32_t kv_heads = 0;   ///< key/value heads; divides `heads`
  std::uint32_t head_size = 0;  ///< of queries, keys and values alike
  std::uint32_t vocabulary = 0;
  std::uint32_t context = 0;  ///< positions that the model was made for; 0: not said
  float norm_epsilon = 0;
  kernels::RopeSettings rope;
  /// Tokens that a token attends to, itself included, by layer; 0: all before it. Empty: 0 for all.
  std::vector<std::uint32_t> attention_windows;
  bool tied_output = false;  ///< the token embedding serves as output matrix

  std::uint32_t group() const { return heads / kv_heads; }
  std::uint32_t query_width() const { return heads * head_size; }
  std::uint32_t key_value_width() const { return kv_heads * head_size; }
  std::uint32_t attention_window(std::uint32_t layer) const {
    return attention_windows.empty() ? 0 : attention_windows[layer];
  }
};

/// Reads and checks it. Throws BadFileError naming the file and the key: an architecture that the forward
/// pass does not know (with the list of those it does), per-layer head counts, missing or impossible sizes.
DecoderConfig read_decoder_config(const OpenedModel& model);

}  // namespace tessera::model
