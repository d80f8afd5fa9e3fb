// UTF-8 as llama.cpp takes it from texts that may not be valid.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::model {

/// Bytes of the character that begins at `at`, told by its first byte alone and cut at the end of `text`.
std::size_t character_bytes(std::string_view text, std::size_t at);

/// The code points of `text`; a byte that begins no complete sequence, the shortest for its code point and at
/// most U+10FFFF, is U+FFFD. Surrogates are taken as they are.
std::vector<char32_t> code_points_of(std::string_view text);

/// Bytes of `code_point` in UTF-8.
std::size_t utf8_bytes(char32_t code_point);

/// Appends `code_point` in UTF-8.
void append_utf8(char32_t code_point, std::string& text);

}  // namespace tessera::model
