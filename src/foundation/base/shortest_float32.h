// Decimal numbers of float32 values as people wrote them.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <string>

namespace tessera {

/// The shortest decimal number that rounds to the same float32: 1e-05 where float32 holds
/// 0.000009999999747378752.
inline double shortest_float32(double value) {
  const std::string text = fmt::format("{}", static_cast<float>(value));
  double number = value;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace tessera
