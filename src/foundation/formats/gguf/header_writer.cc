#include <cstring>
#include <type_traits>

#include "foundation/formats/gguf/header.h"

namespace tessera::gguf {
namespace {

/// Appends little-endian fields, or only counts them: both ways use the same code, so planned sizes are
/// exact.
class FieldWriter {
 public:
  explicit FieldWriter(std::vector<std::byte>* bytes) : bytes_(bytes) {}

  std::uint64_t size() const { return size_; }

  void raw(const void* data, std::size_t size) {
    size_ += size;
    if (!bytes_ || size == 0) return;
    const auto* first = static_cast<const std::byte*>(data);
    bytes_->insert(bytes_->end(), first, first + size);
  }

  template <class T>
  requires std::is_arithmetic_v<T>
  void field(T value) { raw(&value, sizeof value); }
  void field(Boolean value) { field<std::uint8_t>(value.value != 0 ? 1 : 0); }
  void field(bool value) { field(Boolean{value}); }
  void field(const std::string& text) {
    field<std::uint64_t>(text.size());
    raw(text.data(), text.size());
  }
  void field(std::monostate) {}  // the array alternative that stands for arrays of arrays, which do not exist
  void field(const Array& array) {
    field(static_cast<std::uint32_t>(array.index()));
    std::visit(
        [this](const auto& items) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(items)>, std::monostate>) {
            field<std::uint64_t>(items.size());
            for (const auto& item : items) field(item);
          }
        },
        array);
  }

 private:
  std::vector<std::byte>* bytes_;
  std::uint64_t size_ = 0;
};

void put_key(FieldWriter& writer, const Metadata::Entry& entry) {
  writer.field(entry.first);
  writer.field(static_cast<std::uint32_t>(entry.second.index()));
  std::visit([&writer](const auto& value) { writer.field(value); }, entry.second);
}

void put_info(FieldWriter& writer, const TensorDescriptor& tensor, std::uint64_t offset) {
  writer.field(tensor.name);
  writer.field(static_cast<std::uint32_t>(tensor.shape.size()));
  for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)
    writer.field<std::uint64_t>(*size);
  writer.field(static_cast<std::uint32_t>(tensor.type));
  writer.field(offset);
}

void put_header(FieldWriter& writer, const Metadata& metadata, std::span<const TensorDescriptor> tensors) {
  writer.raw(kMagic.data(), kMagic.size());
  writer.field(kWrittenVersion);
  writer.field<std::uint64_t>(tensors.size());
  writer.field<std::uint64_t>(metadata.entries().size());
  for (const auto& entry : metadata.entries()) put_key(writer, entry);
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    put_info(writer, tensor, offset);
    offset = align_up(offset + tensor.bytes(), kDefaultAlignment);
  }
}

}  // namespace

std::uint64_t info_bytes(const TensorDescriptor& tensor) {
  FieldWriter writer(nullptr);
  put_info(writer, tensor, 0);
  return writer.size();
}

std::uint64_t header_bytes(const Metadata& metadata, std::span<const TensorDescriptor> tensors) {
  FieldWriter writer(nullptr);
  put_header(writer, metadata, tensors);
  return tensors.empty() ? writer.size() : align_up(writer.size(), kDefaultAlignment);
}

std::vector<std::byte> write_header(const Metadata& metadata, std::span<const TensorDescriptor> tensors) {
  std::vector<std::byte> bytes;
  FieldWriter writer(&bytes);
  put_header(writer, metadata, tensors);
  if (!tensors.empty()) bytes.resize(align_up(bytes.size(), kDefaultAlignment));
  return bytes;
}

}  // namespace tessera::gguf
