// The alphabet of byte-level BPE: one printable character for every byte.
//
// Bytes that are printable in Latin-1 (0x21-0x7E, 0xA1-0xAC, 0xAE-0xFF) are the code point of the same
// number; the others, in order, are U+0100 onwards: the byte 0x20 is "Ġ" (Radford et al., "Language Models
// are Unsupervised Multitask Learners", 2019, and its published code).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tessera::model {

/// The bytes that `spelled` stands for; empty when it has a character that is not of the alphabet.
std::optional<std::string> bytes_of_spelled(std::string_view spelled);

/// The character of `byte`, in UTF-8.
std::string spelled_byte(unsigned char byte);

}  // namespace tessera::model
