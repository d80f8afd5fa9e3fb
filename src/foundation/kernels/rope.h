// Rotary position embedding (Su et al., "RoFormer", arXiv 2104.09864) and its stretched forms.
//
// A head's first `dimensions` n are n/2 pairs; pair i at position p turns by the angle p f_i with
// f_i = base^(-2i/n). Stretching changes the frequencies:
//   linear    f_i * frequency_scale, frequency_scale = 1 / factor
//   Llama 3   f_i / frequency_divisors[i]
//   YaRN      (arXiv 2309.00071, section 3.2) f_i * frequency_scale for slow pairs, f_i for fast ones, and a
//             ramp between the pairs that turn `beta_slow` and `beta_fast` times over `original_context`
//             positions. Cosines and sines are multiplied by a magnitude (section 3.4).
// Where both act, as in ggml's rope operator, the divisor acts first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tessera::kernels {

/// Which two dimensions turn together.
enum class RopePairs {
  interleaved,  ///< (2i, 2i + 1): the llama family in GGUF
  half_split,   ///< (i, i + n/2): transformers, and the qwen families in GGUF
};

/// YaRN's settings under the defaults of its paper.
struct YarnSettings {
  /// How much of the ramp is applied, 0 to 1 (GGUF: yarn_ext_factor); 0 leaves linear scaling.
  double extrapolation_mix = 1;
  /// What cosines and sines are multiplied by. When not given: 0.1 ln(1 / frequency_scale) + 1 where the
  /// model is stretched and the mix is not 0, else 1.
  std::optional<double> attention_factor = std::nullopt;
  double beta_fast = 32;               ///< turns over the original context from which a pair is left alone
  double beta_slow = 1;                ///< turns up to which a pair is scaled fully
  std::uint32_t original_context = 0;  ///< positions the model was trained on, positive
  bool truncate = true;                ///< round the ends of the ramp outwards to whole pairs
};

struct RopeSettings {
  std::uint32_t dimensions = 0;           ///< turned dimensions of a head, even, at most the head's size
  double base = 10000;                    ///< rope_theta
  double frequency_scale = 1;             ///< 1 / factor of linear scaling and of YaRN
  std::vector<float> frequency_divisors;  ///< Llama 3: [dimensions / 2]; else empty
  std::optional<YarnSettings> yarn;
  RopePairs pairs = RopePairs::half_split;
};

/// Cosines and sines of all pairs at positions [0, positions), computed in float64, kept in float32, YaRN's
/// magnitude included.
class RopeTable {
 public:
  RopeTable(const RopeSettings& settings, std::uint32_t positions);

  std::uint32_t dimensions() const { return dimensions_; }
  std::uint32_t positions() const { return positions_; }
  RopePairs pairs() const { return pairs_; }

  /// [dimensions / 2]; position < positions().
  std::span<const float> cosines(std::uint32_t position) const { return row(cosines_, position); }
  std::span<const float> sines(std::uint32_t position) const { return row(sines_, position); }

 private:
  std::span<const float> row(const std::vector<float>& table, std::uint32_t position) const;

  std::uint32_t dimensions_;
  std::uint32_t positions_;
  RopePairs pairs_;
  std::vector<float> cosines_;  ///< [positions, dimensions / 2]
  std::vector<float> sines_;    ///< [positions, dimensions / 2]
};

/// Turns one head in place; dimensions beyond table.dimensions() stay. (a, b) -> (a cos - b sin, b cos + a
/// sin).
void rotate(std::span<float> head, const RopeTable& table, std::uint32_t position);

/// The transposed rotation, which takes a gradient back through rotate(): the inverse where YaRN's magnitude
/// is 1. (a, b) -> (a cos + b sin, b cos - a sin).
void rotate_back(std::span<float> head, const RopeTable& table, std::uint32_t position);

}  // namespace tessera::kernels
