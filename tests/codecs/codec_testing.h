// Shared by the codec tests: reading reference data, forcing a SIMD target, measuring errors.
#pragma once

#include <hwy/targets.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

template <class T>
std::vector<T> read_values(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<T> values(std::filesystem::file_size(path) / sizeof(T));
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

/// Makes the dynamic dispatch use one SIMD target while it lives.
class ForcedTarget {
 public:
  explicit ForcedTarget(std::int64_t target) { hwy::SetSupportedTargetsForTest(target); }
  ~ForcedTarget() { hwy::SetSupportedTargetsForTest(0); }
  ForcedTarget(const ForcedTarget&) = delete;
  ForcedTarget& operator=(const ForcedTarget&) = delete;
};

/// Every target that was compiled and that this machine can run, the emulated scalar one included.
inline std::vector<std::int64_t> runnable_targets() { return hwy::SupportedAndGeneratedTargets(); }

/// Encodes and decodes again.
inline std::vector<float> reconstruct(const Codec& codec, const EncodeInput& input) {
  std::vector<std::byte> blocks(input.rows() * row_bytes(codec.type(), input.columns));
  codec.encode(input, blocks);
  std::vector<float> decoded(input.weights.size());
  codec.decode(blocks, decoded);
  return decoded;
}

/// sum over all weights of importance[column] * (x - y)^2, in float64; empty importance counts as ones.
inline double weighted_squared_error(std::span<const float> x, std::span<const float> y, std::size_t columns,
                                     std::span<const float> importance) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double difference = double{x[i]} - double{y[i]};
    sum += (importance.empty() ? 1.0 : double{importance[i % columns]}) * difference * difference;
  }
  return sum;
}

inline std::string codec_name(const Codec* codec) { return std::string(name_of(codec->type())); }

}  // namespace tessera::codecs
