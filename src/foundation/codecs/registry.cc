// The list of all families. A new family adds its header and one line here.

#include <algorithm>
#include <cassert>
#include <vector>

#include "foundation/codecs/affine.h"
#include "foundation/codecs/binary.h"
#include "foundation/codecs/codec.h"
#include "foundation/codecs/fp4.h"
#include "foundation/codecs/grid_codecs.h"
#include "foundation/codecs/iq1.h"
#include "foundation/codecs/iq4.h"
#include "foundation/codecs/k_quants.h"
#include "foundation/codecs/plain.h"
#include "foundation/codecs/symmetric.h"
#include "foundation/codecs/ternary.h"

namespace tessera::codecs {
namespace {

std::vector<const Codec*> collect() {
  std::vector<const Codec*> all;
  for (const auto family : {
           k_quant_codecs(),
           plain_codecs(),
           grid_codecs(),
           symmetric_codecs(),
           fp4_codecs(),
           iq1_codecs(),
           iq4_codecs(),
           affine_codecs(),
           binary_codecs(),
           ternary_codecs(),
       }) {
    all.insert(all.end(), family.begin(), family.end());
  }
  std::ranges::sort(all, {}, [](const Codec* codec) { return codec->type(); });
  return all;
}

}  // namespace

std::span<const Codec* const> all_codecs() {
  static const std::vector<const Codec*> all = collect();
  return all;
}

const Codec& codec_for(ElementType type) {
  const auto all = all_codecs();
  const auto found = std::ranges::find(all, type, [](const Codec* codec) { return codec->type(); });
  assert(found != all.end());
  return **found;
}

}  // namespace tessera::codecs
