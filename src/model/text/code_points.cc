#include "model/text/code_points.h"

#include <algorithm>
#include <array>

namespace tessera::model {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kLast = 0x10FFFF;

unsigned byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

/// Bytes that the lead byte announces; 0 when it is none.
std::size_t announced_bytes(unsigned lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC0) return 0;
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF8 ? 4 : 0;
}

/// The code point of the `bytes` bytes at `at`; kLast + 1 when they are no sequence, or a needlessly long
/// one.
char32_t decode(std::string_view text, std::size_t at, std::size_t bytes) {
  constexpr std::array<unsigned, 5> kLeadBits = {0, 0x7F, 0x1F, 0x0F, 0x07};
  if (bytes == 0 || at + bytes > text.size()) return kLast + 1;
  char32_t code_point = byte_at(text, at) & kLeadBits[bytes];
  for (std::size_t i = 1; i < bytes; ++i) {
    const unsigned byte = byte_at(text, at + i);
    if ((byte & 0xC0u) != 0x80u) return kLast + 1;
    code_point = code_point << 6 | (byte & 0x3Fu);
  }
  return utf8_bytes(code_point) == bytes ? code_point : kLast + 1;
}

}  // namespace

std::size_t character_bytes(std::string_view text, std::size_t at) {
  const unsigned lead = byte_at(text, at);
  const std::size_t bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(bytes, text.size() - at);
}

std::vector<char32_t> code_points_of(std::string_view text) {
  std::vector<char32_t> code_points;
  code_points.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = announced_bytes(byte_at(text, at));
    const char32_t code_point = decode(text, at, bytes);
    const bool is_valid = code_point <= kLast;
    code_points.push_back(is_valid ? code_point : kReplacement);
    at += is_valid ? bytes : 1;
  }
  return code_points;
}

std::size_t utf8_bytes(char32_t code_point) {
  return code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
}

void append_utf8(char32_t code_point, std::string& text) {
  const auto continuation = [&](unsigned shift) {
    text += static_cast<char>(0x80u | ((code_point >> shift) & 0x3Fu));
  };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xC0u | code_point >> 6);
    continuation(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xE0u | code_point >> 12);
    continuation(6);
    continuation(0);
  } else {
    text += static_cast<char>(0xF0u | code_point >> 18);
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

}  // namespace tessera::model
