// What one sequence keeps of its tokens while it is decoded: rotated keys and values of every layer.
//
// The room for positions grows by doubling from kLeastPositions. It depends on the length of this sequence
// alone, and attention's shapes on the room: few shapes occur, and a sequence is computed in the same way
// whatever is decoded beside it and however long it will become.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/forward/attention.h"
#include "model/forward/decoder_config.h"

namespace tessera::model {

class KeyValueCache {
 public:
  static constexpr std::size_t kLeastPositions = 256;

  KeyValueCache(const DecoderConfig& config, kernels::Precision precision);

  /// Tokens held: the position of the next one.
  std::size_t length() const { return length_; }

  /// Makes room for `tokens` further tokens, whose queries come next. Throws std::bad_alloc.
  void prepare(std::size_t tokens);
  /// The tokens that were prepared for have passed all layers.
  void accept();

  AttentionHeads& layer(std::uint32_t layer) { return layers_[layer]; }

 private:
  std::size_t length_ = 0;
  std::size_t coming_ = 0;
  std::vector<AttentionHeads> layers_;
};

}  // namespace tessera::model
