// Reading JSON that comes from outside: one document, no repeated keys, bounded nesting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

namespace tessera {

/// Parses `bytes`, which stand at `base_offset` of the file named `file`. Throws BadFileError with the
/// offset: invalid JSON or UTF-8, anything but white space after the document, nesting deeper than 64, and a
/// key that occurs twice in one object (the parser itself would keep the last one silently).
nlohmann::json parse_json(std::span<const std::byte> bytes, const std::string& file,
                          std::uint64_t base_offset = 0);

}  // namespace tessera
