#include "model/text/byte_alphabet.h"

#include <array>

#include "model/text/code_points.h"

namespace tessera::model {
namespace {

constexpr char32_t kFirstSubstitute = 0x100;
constexpr std::size_t kSubstitutes = 68;

constexpr bool is_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/// The bytes that are U+0100, U+0101, ...
constexpr std::array<unsigned char, kSubstitutes> make_substituted() {
  std::array<unsigned char, kSubstitutes> bytes{};
  std::size_t count = 0;
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!is_itself(byte)) bytes[count++] = static_cast<unsigned char>(byte);
  }
  return bytes;
}
constexpr auto kSubstituted = make_substituted();

}  // namespace

std::optional<std::string> bytes_of_spelled(std::string_view spelled) {
  std::string bytes;
  for (const char32_t character : code_points_of(spelled)) {
    if (character < kFirstSubstitute && is_itself(character)) {
      bytes += static_cast<char>(character);
    } else if (character >= kFirstSubstitute && character < kFirstSubstitute + kSubstitutes) {
      bytes += static_cast<char>(kSubstituted[character - kFirstSubstitute]);
    } else {
      return std::nullopt;
    }
  }
  return bytes;
}

std::string spelled_byte(unsigned char byte) {
  char32_t character = byte;
  for (std::size_t i = 0; i < kSubstitutes; ++i) {
    if (kSubstituted[i] == byte) character = kFirstSubstitute + static_cast<char32_t>(i);
  }
  std::string spelled;
  append_utf8(character, spelled);
  return spelled;
}

}  // namespace tessera::model
