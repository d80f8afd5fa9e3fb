// The reader of lists of super weights on arbitrary bytes: refused with BadFileError, or the same list again
// after being written out.
#include "artifacts/super_weight_list.h"
#include "fuzz_check.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto list = parse_super_weights(bytes, "input");
    const std::string written = to_json(list).dump();
    fuzz::check(parse_super_weights(std::as_bytes(std::span(written)), "written") == list);
  });
  return 0;
}
