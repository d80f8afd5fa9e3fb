// The contract of a block format: exact decode, and encode under a per-column importance.
//
// Decoding equals ggml's bit for bit (shared/formats/BLOCKS.md). Encoding minimises the importance-weighted
// squared error sum_rc importance[c] * (x[r][c] - y[r][c])^2 within the bytes of the format; it is
// deterministic, and does not depend on how rows are divided between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "foundation/codecs/feedback.h"
#include "foundation/tensor/element_type.h"

namespace tessera::codecs {

/// Rows of weights to encode.
struct EncodeInput {
  std::span<const float> weights;     ///< [rows, columns] row-major, finite
  std::size_t columns = 0;            ///< a multiple of the format's block width
  std::span<const float> importance;  ///< [columns], finite and >= 0, or empty: every column counts the same

  std::size_t rows() const { return weights.size() / columns; }
};

class Codec {
 public:
  virtual ~Codec() = default;
  virtual ElementType type() const = 0;

  /// Decodes whole blocks: weights.size() is a multiple of the block width and blocks.size() fits it.
  virtual void decode(std::span<const std::byte> blocks, std::span<float> weights) const = 0;

  /// Encodes whole rows, one after the other, into rows() * row_bytes(type(), columns) bytes. On one thread.
  virtual void encode(const EncodeInput& input, std::span<std::byte> blocks) const = 0;

  /// The same with error feedback (feedback-inl.h). Types without blocks, which have no errors to speak of,
  /// encode as always.
  virtual void encode_with_feedback(const FeedbackInput& input, kernels::MatrixProducts& products,
                                    std::span<std::byte> blocks) const = 0;
};

/// The codec of a weight type (is_weight_type(type) holds).
const Codec& codec_for(ElementType type);

/// All codecs, in the order of their type ids.
std::span<const Codec* const> all_codecs();

}  // namespace tessera::codecs
