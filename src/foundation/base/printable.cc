#include "foundation/base/printable.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

namespace tessera {
namespace {

constexpr bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

/// Bytes of the UTF-8 sequence that `text` begins with; 0 when it begins with none or with a control
/// character.
std::size_t sequence_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7F ? 1 : 0;
  const std::size_t size = lead >= 0xF0 && lead < 0xF5   ? 4
                           : lead >= 0xE0 && lead < 0xF0 ? 3
                           : lead >= 0xC2 && lead < 0xE0 ? 2
                                                         : 0;
  if (size == 0 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool c1_control = lead == 0xC2 && second < 0xA0;
  const bool overlong_or_surrogate = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second >= 0xA0) ||
                                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second >= 0x90);
  return c1_control || overlong_or_surrogate ? 0 : size;
}

}  // namespace

std::string printable(std::string_view untrusted, std::size_t max_bytes) {
  std::string result;
  std::size_t position = 0;
  while (position < untrusted.size()) {
    const std::string_view rest = untrusted.substr(position);
    const std::size_t size = sequence_bytes(rest);
    if (position + size > max_bytes || position >= max_bytes) return result + "...";
    if (size == 0) {
      fmt::format_to(std::back_inserter(result), "\\x{:02X}", static_cast<unsigned char>(rest.front()));
    } else {
      result += rest.substr(0, size);
    }
    position += size == 0 ? 1 : size;
  }
  return result;
}

}  // namespace tessera
