#include "foundation/codecs/ggml_encoder.h"

#include <cassert>
#include <string>

#include "foundation/base/error.h"

#ifdef TESSERA_WITH_GGML
#include <ggml.h>
#endif

namespace tessera::codecs {

#ifdef TESSERA_WITH_GGML

EncodeFunction ggml_encoder(ElementType type) {
  const auto ggml_type_id = static_cast<ggml_type>(type);  // ElementType's values are ggml's ids
  ggml_quantize_init(ggml_type_id);
  return [=](const EncodeInput& input, std::span<std::byte> blocks) {
    if (input.importance.empty() && ggml_quantize_requires_imatrix(ggml_type_id)) {
      throw UsageError(
          "--encoder ggml cannot encode " + std::string(name_of(type)) +
          " without importance; give an importance matrix that covers the tensor, or another type");
    }
    const float* importance = input.importance.empty() ? nullptr : input.importance.data();
    [[maybe_unused]] const std::size_t written = ggml_quantize_chunk(
        ggml_type_id, input.weights.data(), blocks.data(), 0, static_cast<std::int64_t>(input.rows()),
        static_cast<std::int64_t>(input.columns), importance);
    assert(written == blocks.size());
  };
}

#else

EncodeFunction ggml_encoder(ElementType /*type*/) {
  throw UsageError(
      "--encoder ggml: this build has no libggml; install it with its headers (libggml-dev in Debian 13 "
      "backports "
      "and later, ggml in Homebrew), configure again and build");
}

#endif

}  // namespace tessera::codecs
