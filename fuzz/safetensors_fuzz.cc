// The safetensors header reader on arbitrary bytes: it refuses with BadFileError, or the tensors fill the
// file exactly.
#include "foundation/formats/safetensors/header.h"
#include "fuzz_check.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto tensors = safetensors::read_header(bytes, "input");
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::uint64_t end = tensors[i].begin + tensors[i].bytes;
      fuzz::check(end == (i + 1 < tensors.size() ? tensors[i + 1].begin : bytes.size()));
      std::uint64_t elements = 1;
      for (const auto dimension : tensors[i].shape) elements *= dimension;
      fuzz::check(tensors[i].bytes == elements * tensors[i].type->bytes);
    }
  });
  return 0;
}
