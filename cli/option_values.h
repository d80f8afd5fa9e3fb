// Values of options that are more than a number or a word.
#pragma once

#include <cstdint>
#include <string>

#include "foundation/tensor/element_type.h"
#include "stages/choose_types.h"

namespace tessera::cli {

/// "Q8_0", "q8_0". Throws UsageError naming `option` when it is no type that weights can have.
ElementType parse_type(const std::string& option, const std::string& text);

/// "PATTERN=TYPE". Throws UsageError.
stages::TensorTypeOverride parse_tensor_type(const std::string& text);

/// "2G", "500M", "800K" (powers of 1000, as llama.cpp's split size) or bytes. Throws UsageError.
std::uint64_t parse_size(const std::string& option, const std::string& text);

}  // namespace tessera::cli
