// The GGUF reader on arbitrary bytes: it refuses with BadFileError, or what it returns is true of the file
// and survives being written and read again.
#include "foundation/formats/gguf/header.h"
#include "fuzz_check.h"

using namespace tessera;

namespace {

void check_places(const gguf::Header& header, std::size_t file_bytes) {
  std::uint64_t end = 0;
  for (const auto& tensor : header.tensors) {
    fuzz::check(tensor.begin >= end && tensor.bytes == tensor.descriptor.bytes());
    end = tensor.begin + tensor.bytes;
  }
  fuzz::check(end <= file_bytes);
}

void check_round_trip(gguf::Header header) {
  header.metadata.erase(gguf::kAlignmentKey);
  std::vector<TensorDescriptor> tensors;
  std::uint64_t data_bytes = 0;
  for (const auto& tensor : header.tensors) {
    tensors.push_back(tensor.descriptor);
    data_bytes += gguf::align_up(tensor.bytes, gguf::kDefaultAlignment);
  }
  std::vector<std::byte> written = gguf::write_header(header.metadata, tensors);
  fuzz::check(written.size() == gguf::header_bytes(header.metadata, tensors));
  written.resize(written.size() + data_bytes);
  const gguf::Header again = gguf::read_header(written, "written");
  fuzz::check(again.tensors.size() == tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) fuzz::check(again.tensors[i].descriptor == tensors[i]);
  fuzz::check(gguf::write_header(again.metadata, {}) == gguf::write_header(header.metadata, {}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read(data, size, [](std::span<const std::byte> bytes) {
    const gguf::Header header = gguf::read_header(bytes, "input");
    check_places(header, bytes.size());
    check_round_trip(header);
  });
  return 0;
}
