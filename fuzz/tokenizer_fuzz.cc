// tokenizer.json and tokenizer_config.json on arbitrary bytes, and tokenizer.model: refused with
// BadFileError, or a vocabulary of the size asked for.
#include "foundation/formats/json/json_object.h"
#include "fuzz_check.h"
#include "model/text/byte_level_vocabulary.h"
#include "model/text/sentencepiece_vocabulary.h"
#include "model/text/special_tokens.h"

using namespace tessera;

namespace {

constexpr std::uint32_t kVocabulary = 300;

json::JsonObject object_of(std::span<const std::byte> bytes, const char* file) {
  return {{reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file};
}

void check_size(const model::Vocabulary& vocabulary) {
  fuzz::check(vocabulary.tokens.size() == kVocabulary && vocabulary.types.size() == kVocabulary);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    check_size(model::parse_sentencepiece_model(bytes, "tokenizer.model", kVocabulary));
  });
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto tokenizer = object_of(bytes, "tokenizer.json");
    check_size(model::read_byte_level_vocabulary(tokenizer, tokenizer, kVocabulary, ""));
  });
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const auto all = object_of(bytes, "tokenizer.json");
    gguf::Metadata metadata;
    model::add_special_token_metadata({all, all, all}, kVocabulary, metadata);
  });
  return 0;
}
