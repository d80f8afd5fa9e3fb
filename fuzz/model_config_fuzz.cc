// config.json on arbitrary bytes: refused with BadFileError, or metadata of a model whose sizes are
// consistent.
#include "foundation/formats/json/json_object.h"
#include "fuzz_check.h"
#include "model/architecture/model_config.h"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const json::JsonObject json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "config.json");
    const auto config = model::read_model_config(json);
    fuzz::check(config[model::Quantity::query_width] % config[model::Quantity::head_size] == 0);
    gguf::Metadata metadata;
    model::add_architecture_metadata(config, 0, metadata);
    fuzz::check(!metadata.entries().empty());
  });
  return 0;
}
