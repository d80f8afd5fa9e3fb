#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <unordered_set>
#include <utility>

#include "foundation/base/byte_reader.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/gguf/metadata_reader.h"

namespace tessera::gguf {
namespace {

constexpr std::uint64_t kSignedMax = std::numeric_limits<std::int64_t>::max();
/// A key of one letter with a value of one byte.
constexpr std::uint64_t kMinKeyBytes = 14;
/// An info with an empty name and no sizes.
constexpr std::uint64_t kMinInfoBytes = 24;

// BLOCKS.md section 2.
constexpr std::array<std::uint32_t, 8> kRetiredTensorTypes{4, 5, 31, 32, 33, 36, 37, 38};
constexpr std::array<std::uint32_t, 2> kScratchTensorTypes{9, 15};

/// Reads one tensor info, checking each field where it stands so that messages give its offset.
class InfoReader {
 public:
  InfoReader(ByteReader& reader, std::uint64_t number)
      : reader_(reader), number_(number), field_(reader.offset()) {}

  /// `tensor.begin` is left as stored: relative to the data section.
  StoredTensor read(std::unordered_set<std::string_view>& seen) {
    read_name(seen);
    const std::string what = fmt::format("the info of tensor '{}'", printable(tensor_.descriptor.name));
    read_shape(what);
    read_type(what);
    field_ = reader_.offset();
    tensor_.begin = reader_.read<std::uint64_t>(what);
    return tensor_;
  }

  /// A BadFileError at the field read last.
  [[noreturn]] void refuse(const std::string& message) const {
    throw BadFileError(
        {.file = reader_.file(), .tensor = printable(tensor_.descriptor.name), .offset = field_}, message);
  }

 private:
  void read_name(std::unordered_set<std::string_view>& seen) {
    const std::string_view name = read_string(reader_, fmt::format("the name of tensor {}", number_));
    tensor_.descriptor.name = name;
    if (name.empty()) refuse(fmt::format("tensor {} has an empty name", number_));
    if (name.size() > kMaxTensorNameBytes) {
      refuse(fmt::format("its name has {} bytes; at most {} are allowed", name.size(), kMaxTensorNameBytes));
    }
    if (!seen.insert(name).second) refuse("two tensors have this name");
  }

  void read_shape(std::string_view what) {
    field_ = reader_.offset();
    const auto dimensions = reader_.read<std::uint32_t>(what);
    if (dimensions > kMaxDimensions) {
      refuse(fmt::format("it has {} dimensions; at most {} are allowed", dimensions, kMaxDimensions));
    }
    for (std::uint32_t i = 0; i < dimensions; ++i) {
      field_ = reader_.offset();
      const auto size = reader_.read<std::uint64_t>(what);
      if (size == 0) refuse(fmt::format("dimension {} is zero", i));
      if (size > kSignedMax) refuse(fmt::format("dimension {} is {}, beyond 63 bits", i, size));
      if (weights_ > kSignedMax / size) refuse("the product of its dimensions is beyond 63 bits");
      weights_ *= size;
      tensor_.descriptor.shape.push_back(size);
    }
    std::ranges::reverse(tensor_.descriptor.shape);
  }

  void read_type(std::string_view what) {
    field_ = reader_.offset();
    const auto id = reader_.read<std::uint32_t>(what);
    const auto type = element_type_from_id(id);
    if (!type) refuse_type(id);
    const auto& format = info(*type);
    const std::uint64_t columns = tensor_.descriptor.columns();
    if (columns % format.block_weights != 0) {
      refuse(fmt::format("its rows of {} weights are not whole blocks of {} ({} weights each)", columns,
                         format.name, format.block_weights));
    }
    const std::uint64_t blocks = weights_ / format.block_weights;
    if (blocks > kSignedMax / format.block_bytes) refuse("its size in bytes is beyond 63 bits");
    tensor_.descriptor.type = *type;
    tensor_.bytes = blocks * format.block_bytes;
  }

  [[noreturn]] void refuse_type(std::uint32_t id) const {
    if (std::ranges::count(kRetiredTensorTypes, id) > 0) {
      refuse(
          fmt::format("tensor type {} is retired; convert the original model again with current tools", id));
    }
    if (std::ranges::count(kScratchTensorTypes, id) > 0) {
      refuse(
          fmt::format("tensor type {} is a scratch format of dot products, never stored in model files", id));
    }
    refuse(fmt::format("unknown tensor type {}; the file is damaged or newer than this program", id));
  }

  ByteReader& reader_;
  std::uint64_t number_;
  std::uint64_t field_;  ///< offset of the field being read
  std::uint64_t weights_ = 1;
  StoredTensor tensor_{};
};

/// Reads version and magic; everything but versions 2 and 3 in this byte order is refused.
std::uint32_t read_version(ByteReader& reader) {
  const auto refuse = [&](std::uint64_t offset, const std::string& message) {
    throw BadFileError({.file = reader.file(), .offset = offset}, message);
  };
  if (reader.take_text(kMagic.size(), "the magic number") != kMagic) {
    refuse(0, "this is not a GGUF file: it does not start with \"GGUF\"");
  }
  const std::uint64_t offset = reader.offset();
  const auto version = reader.read<std::uint32_t>("the version");
  if ((version & 0xFFFFu) == 0) {
    refuse(
        offset,
        "this GGUF file is big-endian, which is not supported; convert the model on a little-endian machine");
  }
  if (version != 2 && version != kWrittenVersion) {
    refuse(
        offset,
        fmt::format("GGUF version {} is not supported (only 2 and 3 are); convert the original model again",
                    version));
  }
  return version;
}

std::uint64_t read_count(ByteReader& reader, std::string_view what) {
  const std::uint64_t offset = reader.offset();
  const auto count = reader.read<std::uint64_t>(what);
  if (count <= kSignedMax) return count;
  throw BadFileError({.file = reader.file(), .offset = offset},
                     fmt::format("{} is {}, beyond 63 bits", what, count));
}

std::uint32_t alignment_of(const Metadata& metadata, const std::string& file_name) {
  const Value* value = metadata.find(kAlignmentKey);
  if (!value) return kDefaultAlignment;
  const auto* alignment = std::get_if<std::uint32_t>(value);
  if (alignment && std::has_single_bit(*alignment)) return *alignment;
  throw BadFileError({.file = file_name},
                     fmt::format("metadata key '{}' must be a uint32 and a power of two{}", kAlignmentKey,
                                 alignment ? fmt::format(", not {}", *alignment) : ""));
}

/// Reads all infos and checks that the data follow each other; no size is believed before it fits in the
/// file.
std::vector<StoredTensor> read_infos(ByteReader& reader, std::uint64_t count, std::uint64_t alignment,
                                     std::uint64_t file_bytes) {
  std::vector<StoredTensor> tensors;
  tensors.reserve(count);
  std::unordered_set<std::string_view> seen;
  std::uint64_t expected_begin = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    InfoReader info(reader, i);
    StoredTensor tensor = info.read(seen);
    if (tensor.begin != expected_begin) {
      info.refuse(
          fmt::format("its data offset is {}, but {} is where the tensor before it ends; tensors must follow "
                      "each other without gap or overlap",
                      tensor.begin, expected_begin));
    }
    if (tensor.bytes > file_bytes - std::min(tensor.begin, file_bytes)) {
      info.refuse(
          fmt::format("its {} bytes do not fit in a file of {} bytes; the file is truncated or damaged",
                      tensor.bytes, file_bytes));
    }
    expected_begin = align_up(tensor.begin + tensor.bytes, alignment);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

/// Makes `begin` count from the start of the file and checks the end of the data, which is known only now.
void place_data(std::vector<StoredTensor>& tensors, std::uint64_t data_begin, std::span<const std::byte> file,
                const std::string& file_name) {
  for (auto& tensor : tensors) {
    tensor.begin += data_begin;
    if (tensor.begin + tensor.bytes <= file.size()) continue;
    throw BadFileError(
        {.file = file_name, .tensor = printable(tensor.descriptor.name), .offset = tensor.begin},
        fmt::format("its data ends at byte {} but the file has only {}; the file is truncated",
                    tensor.begin + tensor.bytes, file.size()));
  }
}

}  // namespace

Header read_header(std::span<const std::byte> file, const std::string& file_name) {
  ByteReader reader(file, file_name);
  Header header;
  header.version = read_version(reader);
  const std::uint64_t tensor_count = read_count(reader, "the tensor count");
  const std::uint64_t key_count = read_count(reader, "the metadata key count");
  reader.require_room(key_count, kMinKeyBytes, "metadata keys");
  reader.require_room(tensor_count, kMinInfoBytes, "tensor infos");
  header.metadata = read_metadata(reader, key_count);
  const std::uint32_t alignment = alignment_of(header.metadata, file_name);
  reader.require_room(tensor_count, kMinInfoBytes, "tensor infos");
  header.tensors = read_infos(reader, tensor_count, alignment, file.size());
  place_data(header.tensors, align_up(reader.offset(), alignment), file, file_name);
  return header;
}

}  // namespace tessera::gguf
