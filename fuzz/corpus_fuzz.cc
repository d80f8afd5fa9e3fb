// The records of JSON and JSONL on arbitrary bytes: refused with BadFileError, or read.
#include "fuzz_check.h"
#include "model/text/corpus_text.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const char* field : {"", "chat"}) {
    fuzz::read(data, size, [&](std::span<const std::byte> bytes) {
      // Every byte of the text stands in the file, but for "role: " and what parts records.
      fuzz::check(model::corpus_text_of_jsonl(bytes, "input", field).size() <= 2 * bytes.size());
    });
    fuzz::read(data, size, [&](std::span<const std::byte> bytes) {
      fuzz::check(model::corpus_text_of_json(bytes, "input", field).size() <= 2 * bytes.size());
    });
  }
  return 0;
}
