// Reading the key/value part of a GGUF header (its grammar is in header.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "foundation/base/byte_reader.h"
#include "foundation/formats/gguf/metadata.h"

namespace tessera::gguf {

/// Reads `count` keys; the caller has checked that so many can fit. Throws BadFileError naming key and
/// offset: empty or repeated keys, unknown value types, arrays of arrays, counts and lengths beyond the bytes
/// left.
Metadata read_metadata(ByteReader& reader, std::uint64_t count);

/// Reads a string field; the view points into the reader's bytes. `what` names the field in errors.
std::string_view read_string(ByteReader& reader, std::string_view what);

}  // namespace tessera::gguf
