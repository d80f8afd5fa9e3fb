// The GGUF form, shared/formats/GGUF.md section 5: per weight NAME the F32 tensors
//
//     NAME.in_sum2  [experts, columns]  sum over tokens of the squared activation
//     NAME.counts   [experts, 1]        tokens summed
//
// (both one-dimensional for a single matrix) beside other tensors, which are ignored, and the keys imatrix.*.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/imatrix/imatrix_forms.h"

namespace tessera::imatrix {
namespace {

constexpr std::string_view kTypeKey = "general.type";
constexpr std::string_view kTypeValue = "imatrix";
constexpr std::string_view kDatasetsKey = "imatrix.datasets";
constexpr std::string_view kChunkCountKey = "imatrix.chunk_count";
constexpr std::string_view kChunkSizeKey = "imatrix.chunk_size";
constexpr std::string_view kSumsSuffix = ".in_sum2";
constexpr std::string_view kCountsSuffix = ".counts";
/// float32 holds whole numbers far beyond this, but no sane file counts so many tokens.
constexpr float kMaxCount = 0x1p62f;

class GgufFormReader {
 public:
  GgufFormReader(std::span<const std::byte> bytes, const std::string& file)
      : bytes_(bytes), file_(file), header_(gguf::read_header(bytes, file)) {}

  ImatrixFile read() {
    read_keys();
    for (const auto& tensor : header_.tensors) note(tensor);
    for (const auto& [name, places] : places_) imatrix_.entries.emplace(name, read_entry(name, places));
    if (imatrix_.entries.empty()) refuse("it holds no importance-matrix entries");
    return std::move(imatrix_);
  }

 private:
  struct Places {
    const gguf::StoredTensor* sums = nullptr;
    const gguf::StoredTensor* counts = nullptr;
  };

  void read_keys() {
    const auto type = header_.metadata.text(kTypeKey);
    if (type && *type != kTypeValue) {
      refuse(fmt::format("metadata key '{}' is '{}': this is not an importance matrix", kTypeKey,
                         printable(*type)));
    }
    const auto* datasets = header_.metadata.texts(kDatasetsKey);
    if (!datasets) refuse_key(kDatasetsKey, "an array of strings");
    imatrix_.datasets = *datasets;
    imatrix_.chunk_count = read_uint32(kChunkCountKey);
    imatrix_.chunk_size = read_uint32(kChunkSizeKey);
  }

  std::uint32_t read_uint32(std::string_view key) const {
    const auto value = header_.metadata.unsigned_integer(key);
    if (!value || *value > std::numeric_limits<std::uint32_t>::max()) refuse_key(key, "a uint32");
    return static_cast<std::uint32_t>(*value);
  }

  void note(const gguf::StoredTensor& tensor) {
    const std::string_view name = tensor.descriptor.name;
    if (name.ends_with(kSumsSuffix)) places_[entry_name(name, kSumsSuffix)].sums = &tensor;
    if (name.ends_with(kCountsSuffix)) places_[entry_name(name, kCountsSuffix)].counts = &tensor;
  }

  static std::string entry_name(std::string_view tensor, std::string_view suffix) {
    return std::string(tensor.substr(0, tensor.size() - suffix.size()));
  }

  Entry read_entry(const std::string& name, const Places& places) const {
    if (!places.sums || !places.counts) {
      const auto* present = places.sums ? places.sums : places.counts;
      refuse_tensor(*present,
                    fmt::format("importance-matrix entry '{}' has no tensor '{}{}'", printable(name),
                                printable(name), places.sums ? kCountsSuffix : kSumsSuffix));
    }
    Entry entry;
    entry.sums = read_floats(*places.sums, name, "sum");
    const std::vector<float> counts = read_floats(*places.counts, name, "count");
    for (const float count : counts) {
      if (count > kMaxCount)
        refuse_tensor(*places.counts, fmt::format("a count of {} tokens is impossible", count));
      entry.counts.push_back(static_cast<std::uint64_t>(std::llround(count)));
    }
    if (entry.sums.size() % counts.size() != 0) {
      refuse_tensor(*places.sums,
                    fmt::format("{} sums cannot belong to {} counts", entry.sums.size(), counts.size()));
    }
    entry.columns = entry.sums.size() / counts.size();
    return entry;
  }

  std::vector<float> read_floats(const gguf::StoredTensor& tensor, const std::string& name,
                                 std::string_view what) const {
    if (tensor.descriptor.type != ElementType::F32) {
      refuse_tensor(tensor, fmt::format("it must be F32, not {}", name_of(tensor.descriptor.type)));
    }
    return read_statistics({bytes_.subspan(tensor.begin, tensor.bytes), tensor.begin, file_, name, what});
  }

  [[noreturn]] void refuse(const std::string& message) const { throw BadFileError({.file = file_}, message); }
  [[noreturn]] void refuse_key(std::string_view key, std::string_view type) const {
    refuse(
        fmt::format("metadata key '{}' is missing or not {}: this is not an importance matrix", key, type));
  }
  [[noreturn]] void refuse_tensor(const gguf::StoredTensor& tensor, const std::string& message) const {
    throw BadFileError({.file = file_, .tensor = printable(tensor.descriptor.name), .offset = tensor.begin},
                       message);
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
  gguf::Header header_;
  std::map<std::string, Places> places_;
  ImatrixFile imatrix_;
};

std::vector<TensorDescriptor> describe(const ImatrixFile& imatrix) {
  std::vector<TensorDescriptor> tensors;
  for (const auto& [name, entry] : imatrix.entries) {
    using Shape = std::vector<std::uint64_t>;
    const bool single = entry.experts() == 1;
    tensors.push_back({name + std::string(kSumsSuffix), ElementType::F32,
                       single ? Shape{entry.columns} : Shape{entry.experts(), entry.columns}});
    tensors.push_back(
        {name + std::string(kCountsSuffix), ElementType::F32, single ? Shape{1} : Shape{entry.experts(), 1}});
  }
  return tensors;
}

}  // namespace

ImatrixFile parse_gguf(std::span<const std::byte> bytes, const std::string& file) {
  return GgufFormReader(bytes, file).read();
}

void write_imatrix_gguf(const std::filesystem::path& path, const ImatrixFile& imatrix) {
  gguf::Metadata metadata;
  metadata.set(kTypeKey, std::string(kTypeValue));
  metadata.set(kDatasetsKey, gguf::Array(imatrix.datasets));
  metadata.set(kChunkCountKey, imatrix.chunk_count);
  metadata.set(kChunkSizeKey, imatrix.chunk_size);
  const auto sink = gguf::create_gguf(path, metadata, describe(imatrix));
  std::size_t tensor = 0;
  for (const auto& [name, entry] : imatrix.entries) {
    sink->write_rows(tensor++, 0, std::as_bytes(std::span(entry.sums)));
    const std::vector<float> counts(entry.counts.begin(), entry.counts.end());
    sink->write_rows(tensor++, 0, std::as_bytes(std::span(counts)));
  }
  sink->commit();
}

}  // namespace tessera::imatrix
