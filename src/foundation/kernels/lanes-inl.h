// Walking a row of float32 by vectors: whole ones, then what is left, without touching memory outside the
// row.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_KERNELS_LANES_INL_H_
#undef TESSERA_KERNELS_LANES_INL_H_
#else
#define TESSERA_KERNELS_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using Vector = hn::Vec<Tag>;

/// All lanes of a vector.
struct WholeVector {
  HWY_INLINE Vector load(const float* from, float /*fill*/ = 0) const { return hn::LoadU(Tag(), from); }
  HWY_INLINE void store(Vector value, float* to) const { hn::StoreU(value, Tag(), to); }
};

/// The first `count` lanes of a vector, fewer than all.
struct PartOfVector {
  std::size_t count;

  /// Lanes beyond are `fill`.
  HWY_INLINE Vector load(const float* from, float fill = 0) const {
    const Tag d;
    const auto first = hn::FirstN(d, count);
#if HWY_MEM_OPS_MIGHT_FAULT
    HWY_ALIGN float lanes[hn::MaxLanes(d)] = {};
    for (std::size_t i = 0; i < count; ++i) lanes[i] = from[i];
    return hn::IfThenElse(first, hn::Load(d, lanes), hn::Set(d, fill));
#else
    return hn::IfThenElse(first, hn::MaskedLoad(first, d, from), hn::Set(d, fill));
#endif
  }
  HWY_INLINE void store(Vector value, float* to) const {
    const Tag d;
#if HWY_MEM_OPS_MIGHT_FAULT
    HWY_ALIGN float lanes[hn::MaxLanes(d)];
    hn::Store(value, d, lanes);
    for (std::size_t i = 0; i < count; ++i) to[i] = lanes[i];
#else
    hn::BlendedStore(value, hn::FirstN(d, count), d, to);
#endif
  }
};

/// Calls step(i, lanes) for i in steps of a vector; `lanes` loads from and stores to rows at i.
template <class Step>
HWY_INLINE void for_each_vector(std::size_t count, const Step& step) {
  const std::size_t width = hn::Lanes(Tag());
  std::size_t i = 0;
  for (; i + width <= count; i += width) step(i, WholeVector());
  if (i < count) step(i, PartOfVector{count - i});
}

/// Folds a row into one vector: folded = step(i, lanes, folded), from `start`. Four chains run side by side,
/// to hide the latency of their additions, and `join` brings them together.
template <class Step, class Join>
HWY_INLINE Vector fold_vectors(std::size_t count, Vector start, const Step& step, const Join& join) {
  const std::size_t width = hn::Lanes(Tag());
  Vector chain0 = start;
  Vector chain1 = start;
  Vector chain2 = start;
  Vector chain3 = start;
  std::size_t i = 0;
  for (; i + 4 * width <= count; i += 4 * width) {
    chain0 = step(i, WholeVector(), chain0);
    chain1 = step(i + width, WholeVector(), chain1);
    chain2 = step(i + 2 * width, WholeVector(), chain2);
    chain3 = step(i + 3 * width, WholeVector(), chain3);
  }
  for (; i + width <= count; i += width) chain0 = step(i, WholeVector(), chain0);
  if (i < count) chain1 = step(i, PartOfVector{count - i}, chain1);
  return join(join(chain0, chain1), join(chain2, chain3));
}

/// Sum over a row of what `step` adds to its third argument.
template <class Step>
HWY_INLINE float sum_vectors(std::size_t count, const Step& step) {
  const Tag d;
  const auto add = [](Vector x, Vector y) HWY_ATTR { return hn::Add(x, y); };
  return hn::GetLane(hn::SumOfLanes(d, fold_vectors(count, hn::Zero(d), step, add)));
}

/// What lanes beyond a row hold where the largest counts; e to its power is 0.
constexpr float kLowest = std::numeric_limits<float>::lowest();

/// kLowest when the row is empty; may or may not see a NaN.
HWY_INLINE float largest_value(const float* values, std::size_t count) {
  const Tag d;
  const auto larger = [](Vector x, Vector y) HWY_ATTR { return hn::Max(x, y); };
  const auto step = [&](std::size_t i, auto lanes, Vector largest)
                        HWY_ATTR { return hn::Max(largest, lanes.load(values + i, kLowest)); };
  return hn::GetLane(hn::MaxOfLanes(d, fold_vectors(count, hn::Set(d, kLowest), step, larger)));
}

}  // namespace tessera::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
