// The importance-matrix reader, both forms, on arbitrary bytes: it refuses with BadFileError, or every
// importance is usable.
#include <cmath>

#include "foundation/formats/imatrix/imatrix_file.h"
#include "fuzz_check.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto matrix = imatrix::parse_imatrix(bytes, "input");
    for (const auto& [name, diagonal] : matrix.fisher) {
      const auto& entry = matrix.entries.at(name);
      fuzz::check(diagonal.columns() == entry.columns && diagonal.rows() % entry.experts() == 0);
    }
    for (const auto& [name, entry] : matrix.entries) {
      for (const auto& optional : {entry.maxima, entry.signed_sums})
        fuzz::check(optional.empty() || optional.size() == entry.sums.size());
      fuzz::check(entry.experts() > 0 && entry.sums.size() == entry.experts() * entry.columns);
      for (std::uint64_t expert = 0; expert < entry.experts(); ++expert) {
        for (const float value : entry.importance(expert)) fuzz::check(std::isfinite(value) && value >= 0);
      }
    }
  });
  return 0;
}
