#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "foundation/base/byte_reader.h"
#include "foundation/base/printable.h"
#include "foundation/formats/json/strict_json.h"
#include "foundation/formats/safetensors/header.h"

namespace tessera::safetensors {
namespace {

using nlohmann::json;

constexpr std::uint64_t kSignedMax = std::numeric_limits<std::int64_t>::max();
/// The reference implementation's limit.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::string_view kMetadataName = "__metadata__";

constexpr std::array kTypes{
    StoredType{"F32", 4, ElementType::F32},   StoredType{"F16", 2, ElementType::F16},
    StoredType{"BF16", 2, ElementType::BF16}, StoredType{"F64", 8, ElementType::F64},
    StoredType{"I8", 1, ElementType::I8},     StoredType{"I16", 2, ElementType::I16},
    StoredType{"I32", 4, ElementType::I32},   StoredType{"I64", 8, ElementType::I64},
    StoredType{"F8_E4M3", 1, std::nullopt},
};

/// Turns the entries of the header's JSON object into tensors.
class EntryReader {
 public:
  EntryReader(std::string_view text, std::uint64_t data_begin, std::uint64_t file_bytes,
              const std::string& file_name)
      : text_(text), data_begin_(data_begin), data_bytes_(file_bytes - data_begin), file_name_(file_name) {}

  StoredTensor read(const std::string& name, const json& entry) const {
    StoredTensor tensor{name, nullptr, {}};
    if (name.empty()) refuse(tensor, "a tensor has an empty name");
    tensor.type = read_type(tensor, field(tensor, entry, "dtype"));
    const std::uint64_t weights = read_shape(tensor, field(tensor, entry, "shape"));
    if (weights > kSignedMax / tensor.type->bytes) refuse(tensor, "its size in bytes is beyond 63 bits");
    tensor.bytes = weights * tensor.type->bytes;
    read_place(tensor, field(tensor, entry, "data_offsets"));
    return tensor;
  }

  void check_metadata(const json& entry) const {
    const bool texts =
        entry.is_object() && std::ranges::all_of(entry, [](const json& item) { return item.is_string(); });
    if (!texts) refuse({std::string(kMetadataName), nullptr, {}}, "it must be an object of strings");
  }

  /// The tensors, sorted by place, must fill the data exactly.
  void check_coverage(const std::vector<StoredTensor>& tensors) const {
    std::uint64_t expected = data_begin_;
    for (const auto& tensor : tensors) {
      if (tensor.begin != expected) {
        refuse(
            tensor,
            fmt::format("its data begin at byte {} of the file but the data before end at {}; tensors must "
                        "follow each other without gap or overlap",
                        tensor.begin, expected));
      }
      expected = tensor.begin + tensor.bytes;
    }
    if (expected == data_begin_ + data_bytes_) return;
    throw BadFileError(
        {.file = file_name_, .offset = expected},
        fmt::format("{} bytes after the last tensor belong to none", data_begin_ + data_bytes_ - expected));
  }

  [[noreturn]] void refuse(const StoredTensor& tensor, const std::string& message) const {
    throw BadFileError(
        {.file = file_name_, .tensor = printable(tensor.name), .offset = offset_of(tensor.name)}, message);
  }

 private:
  const json& field(const StoredTensor& tensor, const json& entry, const char* name) const {
    if (!entry.is_object()) refuse(tensor, "its header entry is not a JSON object");
    const auto found = entry.find(name);
    if (found == entry.end()) refuse(tensor, fmt::format("its header entry has no \"{}\"", name));
    return *found;
  }

  const StoredType* read_type(const StoredTensor& tensor, const json& value) const {
    if (!value.is_string()) refuse(tensor, "its \"dtype\" is not a string");
    const auto& name = value.get_ref<const std::string&>();
    if (const auto* type = stored_type_from_name(name)) return type;
    refuse(tensor,
           fmt::format(
               "its dtype '{}' is not supported (F32, F16, BF16, F64, I8, I16, I32, I64 and F8_E4M3 are)",
               printable(name)));
  }

  /// Returns the number of elements.
  std::uint64_t read_shape(StoredTensor& tensor, const json& value) const {
    if (!value.is_array()) refuse(tensor, "its \"shape\" is not an array");
    std::uint64_t weights = 1;
    for (const auto& item : value) {
      if (!item.is_number_unsigned())
        refuse(tensor, "its shape holds something other than non-negative 64-bit integers");
      const auto size = item.get<std::uint64_t>();
      if (size == 0) refuse(tensor, "a dimension is zero");
      if (size > kSignedMax || weights > kSignedMax / size) {
        refuse(tensor, "the product of its dimensions is beyond 63 bits");
      }
      weights *= size;
      tensor.shape.push_back(size);
    }
    return weights;
  }

  void read_place(StoredTensor& tensor, const json& value) const {
    const bool pair = value.is_array() && value.size() == 2 && value[0].is_number_unsigned() &&
                      value[1].is_number_unsigned();
    if (!pair) refuse(tensor, "its \"data_offsets\" are not two non-negative 64-bit integers");
    const auto begin = value[0].get<std::uint64_t>();
    const auto end = value[1].get<std::uint64_t>();
    if (begin > end) refuse(tensor, fmt::format("its data_offsets are reversed: {} > {}", begin, end));
    if (end > data_bytes_) {
      refuse(tensor,
             fmt::format("its data end at byte {} of the data, which have only {}; the file is truncated",
                         end, data_bytes_));
    }
    if (end - begin != tensor.bytes) {
      refuse(tensor, fmt::format("its data_offsets span {} bytes, but its dtype and shape need {}",
                                 end - begin, tensor.bytes));
    }
    tensor.begin = data_begin_ + begin;
  }

  /// Where the header speaks of the tensor; the JSON parser does not say. The header's start when the name is
  /// escaped.
  std::uint64_t offset_of(const std::string& name) const {
    const auto found = text_.find('"' + name + '"');
    return sizeof(std::uint64_t) + (found == std::string_view::npos ? 0 : found);
  }

  std::string_view text_;
  std::uint64_t data_begin_;
  std::uint64_t data_bytes_;
  const std::string& file_name_;
};

}  // namespace

const StoredType* stored_type_from_name(std::string_view name) {
  const auto found = std::ranges::find(kTypes, name, &StoredType::name);
  return found == kTypes.end() ? nullptr : &*found;
}

const StoredType* stored_type_of(ElementType element) {
  const auto found = std::ranges::find(kTypes, std::optional(element), &StoredType::element);
  return found == kTypes.end() ? nullptr : &*found;
}

std::vector<StoredTensor> read_header(std::span<const std::byte> file, const std::string& file_name) {
  ByteReader reader(file, file_name);
  const auto length = reader.read<std::uint64_t>("the header length");
  if (length > kMaxHeaderBytes) {
    throw BadFileError(
        {.file = file_name, .offset = 0},
        fmt::format("the header length is {}, beyond the format's limit of {} bytes; this is not a "
                    "safetensors file, or it is damaged",
                    length, kMaxHeaderBytes));
  }
  const std::uint64_t header_offset = reader.offset();
  const auto header = reader.take(length, "the header");
  const json object = parse_json(header, file_name, header_offset);
  if (!object.is_object()) {
    throw BadFileError({.file = file_name, .offset = header_offset}, "the header is not a JSON object");
  }
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  const EntryReader entries(text, reader.offset(), file.size(), file_name);
  std::vector<StoredTensor> tensors;
  for (const auto& [name, entry] : object.items()) {
    if (name == kMetadataName) {
      entries.check_metadata(entry);
    } else {
      tensors.push_back(entries.read(name, entry));
    }
  }
  std::ranges::sort(tensors, {}, &StoredTensor::begin);
  entries.check_coverage(tensors);
  return tensors;
}

}  // namespace tessera::safetensors
