// llama.cpp's own encoders, from a system libggml where CMake found one (cmake/TesseraDependencies.cmake).
#pragma once

#include "foundation/codecs/encoder.h"

namespace tessera::codecs {

/// ggml's encoder of a weight type: byte for byte what llama-quantize writes from the same weights and
/// importance. Throws UsageError, saying what to install, when this build has no libggml. The returned
/// function throws UsageError for the types that ggml refuses to encode without importance (it would end the
/// process).
EncodeFunction ggml_encoder(ElementType type);

}  // namespace tessera::codecs
