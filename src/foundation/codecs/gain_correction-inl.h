// Undoing the shrinking of least-squares codes.
//
// A scale solved by least squares leaves an error orthogonal to the decoded weights y, so <x, y> = <x, x> -
// error: at 2.6 bits per weight y is x shrunk by 6 %, plus noise. The noise averages out over the inputs of a
// layer; the shrinking does not, it scales every output of every layer the same way. Multiplying the stored
// scales by <x, x> / <x, y> removes it, at the price of an error larger by the same factor. With the codes
// left as they were this is the best trade: they minimise the squared error under the constraint <x, y> = <x,
// x> (the Lagrangian is the squared error to an enlarged x). DRIVE scales its one-bit codes by the same
// quotient (Vargaftik et al. 2021).
//
// Measured on a llama of 27 M weights, with importance, as mean KL divergence over 10 x 512 tokens of
// wiki.test: Q2_K 0.0731 without, 0.0511 with, 0.0693 from llama-quantize; Q3_K 0.0166, 0.0148, 0.0157. Half
// the correction lies between; one and a half times the correction is worse again.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_GAIN_CORRECTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_GAIN_CORRECTION_INL_H_
#undef TESSERA_CODECS_GAIN_CORRECTION_INL_H_
#else
#define TESSERA_CODECS_GAIN_CORRECTION_INL_H_
#endif

#include <hwy/highway.h>

#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// How far the gain is restored.
struct GainRestoration {
  float share = 1.0f;          ///< of the error that counts as shrinking; the rest stays
  float largest_loss = 0.25f;  ///< share of the energy; a larger loss means that the scales saturated
};

/// The factor for the stored scales of a least-squares code, from sum w x^2 and sum w (x - y)^2 of the block.
HWY_INLINE LaneVector gain_correction(LaneVector energy, LaneVector error,
                                      const GainRestoration& restoration = {}) {
  const LaneTag tag;
  const auto limit = hn::Mul(energy, hn::Set(tag, restoration.largest_loss));
  const auto shrunk_by = hn::Clamp(hn::Mul(error, hn::Set(tag, restoration.share)), hn::Zero(tag), limit);
  return hn::Add(hn::Set(tag, 1.0f), divide_or_zero(shrunk_by, hn::Sub(energy, shrunk_by)));
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
