// The strict JSON reader and the shard index on arbitrary bytes: refused with BadFileError, or the same
// document again after being written out.
#include "foundation/formats/json/strict_json.h"
#include "foundation/formats/safetensors/shard_index.h"
#include "fuzz_check.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const std::string written = parse_json(bytes, "input").dump();
    fuzz::check(parse_json(std::as_bytes(std::span(written)), "written").dump() == written);
  });
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    for (const auto& [tensor, shard] : safetensors::read_shard_index(bytes, "input")) {
      fuzz::check(!shard.empty() && shard.find('/') == shard.npos);
    }
  });
  return 0;
}
