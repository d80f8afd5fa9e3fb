// The reader of sidecars on arbitrary bytes: it refuses with BadFileError, or every weight is inside of its
// tensor, finite, and stands once.
#include <algorithm>
#include <cmath>

#include "artifacts/sidecar.h"
#include "fuzz_check.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto sidecar = parse_sidecar(bytes, "input");
    for (const auto& tensor : sidecar.tensors) {
      fuzz::check(!tensor.weights.empty());
      const auto place = [](const SidecarWeight& weight) { return std::pair(weight.row, weight.column); };
      fuzz::check(std::ranges::adjacent_find(tensor.weights, std::ranges::greater_equal{}, place) ==
                  tensor.weights.end());
      for (const auto& weight : tensor.weights) {
        fuzz::check(weight.row < tensor.rows && weight.column < tensor.columns);
        fuzz::check(std::isfinite(weight.value) && std::isfinite(weight.difference));
      }
    }
  });
  return 0;
}
