// Encodes one block of a row in which some weights matter more than the importance of their columns says.
//
// All weights of a block share few scales, and an outlier among them stretches those: either it is far off
// afterwards or its neighbours are. The encoders settle that by the importance of columns, which is a mean
// over inputs. Here the block is encoded several times and the best result is taken. The candidates are all
// pairs of
//
//   - the weights as they are, and with the protected ones held out of the choice of scales: drawn in to 1,
//     2, 4 or 8 times the largest magnitude of the others, so that the scales are those of the others and an
//     outlier gets the largest code there is;
//   - the importance as it is, and with that of the protected weights raised by the root of their factor or
//     by their whole factor.
//
// Best is the least sum of importance * factor * (weight - decoded)^2. The factor of an unprotected weight is
// 1. That of a protected one is its score, |weight| * sqrt(importance), over the root mean square score of
// the unprotected ones of its block, at least 1 and at most kLargestRaise: its error counts the more, the
// more it stands out. (The square of that was worse on a model of 27 M weights, at 1.75 to 2.6 bits.) A
// weight that is restored from elsewhere has the factor 0: the block is encoded as if it had none.
//
// The plain encoding is the first candidate and wins ties, so by this measure no block gets worse.
#pragma once

#include <cstddef>
#include <span>

#include "foundation/codecs/codec.h"
#include "foundation/codecs/encoder.h"

namespace tessera::codecs {

/// Beyond this the rest of the block would not count at all.
inline constexpr double kLargestRaise = 100;

/// A weight of a block that is protected.
struct ProtectedColumn {
  std::size_t column = 0;  ///< within the block
  bool restored = false;   ///< from elsewhere: what the block makes of it does not count

  bool operator==(const ProtectedColumn&) const = default;
};

struct ProtectedBlock {
  std::span<const float> weights;                      ///< [block width], finite
  std::span<const float> importance;                   ///< likewise, or empty: every column counts the same
  std::span<const ProtectedColumn> protected_columns;  ///< by column, each once
};

/// `block` holds the plain encoding of the weights in the codec's type, made by `encode`, and holds the best
/// candidate afterwards.
void protect_block(const EncodeFunction& encode, const Codec& codec, const ProtectedBlock& input,
                   std::span<std::byte> block);

}  // namespace tessera::codecs
