// What the fuzz targets have in common. Each defines LLVMFuzzerTestOneInput.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "foundation/base/error.h"

namespace tessera::fuzz {

/// Stops the fuzzer with a finding; unlike assert, in every build.
inline void check(bool holds) {
  if (!holds) __builtin_trap();
}

/// Runs `reader` on the input. A BadFileError is the right answer to a bad file; any other exception is a
/// finding.
inline void read(const std::uint8_t* data, std::size_t size,
                 const std::function<void(std::span<const std::byte>)>& reader) {
  try {
    reader(std::as_bytes(std::span(data, size)));
  } catch (const BadFileError&) {
  }
}

}  // namespace tessera::fuzz
