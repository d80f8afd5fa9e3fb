#include "model/forward/key_value_cache.h"

namespace tessera::model {

KeyValueCache::KeyValueCache(const DecoderConfig& config, kernels::Precision precision) {
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    layers_.emplace_back(config, precision, 1, kLeastPositions);
  }
}

void KeyValueCache::prepare(std::size_t tokens) {
  coming_ = tokens;
  for (auto& heads : layers_) {
    std::size_t positions = heads.positions;
    while (positions < length_ + tokens) positions *= 2;
    if (positions > heads.positions) heads.grow(positions);
    heads.set_query_tokens(tokens);
  }
}

void KeyValueCache::accept() {
  length_ += coming_;
  coming_ = 0;
}

}  // namespace tessera::model
