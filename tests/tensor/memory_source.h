// A WeightSource of tensors in memory.
#pragma once

#include <map>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "foundation/codecs/codec.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::testing {

class MemorySource final : public WeightSource {
 public:
  /// `weights`: [rows, columns] row-major, stored in `type`.
  void add(const std::string& name, ElementType type, std::vector<std::uint64_t> shape,
           const std::vector<float>& weights) {
    tensors_.push_back({name, type, std::move(shape)});
    std::vector<std::byte> bytes(tensors_.back().bytes());
    codecs::codec_for(type).encode({weights, tensors_.back().columns(), {}}, bytes);
    bytes_.push_back(std::move(bytes));
  }

  const std::string& name() const override { return name_; }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>&) const override {
    const auto row = row_bytes(tensors_[tensor].type, tensors_[tensor].columns());
    return std::span(bytes_[tensor]).subspan(rows.first * row, rows.count * row);
  }
  void discard(std::size_t tensor, RowRange) const override {
    const std::lock_guard lock(mutex_);
    ++discards_[tensor];
  }

  /// How often rows of this tensor were given back.
  int discards(std::size_t tensor) const {
    const std::lock_guard lock(mutex_);
    return discards_[tensor];
  }

 private:
  std::string name_ = "model in memory";
  std::vector<TensorDescriptor> tensors_;
  std::vector<std::vector<std::byte>> bytes_;
  mutable std::mutex mutex_;
  mutable std::map<std::size_t, int> discards_;
};

/// Normally distributed, the same for the same seed.
inline std::vector<float> normal_weights(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> weights(count);
  for (float& weight : weights) weight = normal(generator);
  return weights;
}

}  // namespace tessera::testing
