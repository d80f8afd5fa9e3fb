// Reads the GGUF form of an importance matrix, laid out as imatrix_names.h says.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/imatrix/imatrix_forms.h"
#include "foundation/formats/imatrix/imatrix_names.h"

namespace tessera::imatrix {
namespace {

/// float32 holds whole numbers far beyond this, but no sane file counts so many tokens.
constexpr float kMaxCount = 0x1p62f;

class GgufFormReader {
 public:
  GgufFormReader(std::span<const std::byte> bytes, const std::string& file)
      : bytes_(bytes), file_(file), header_(gguf::read_header(bytes, file)) {}

  ImatrixFile read() {
    read_keys();
    for (const auto& tensor : header_.tensors) note(tensor);
    for (const auto& [name, places] : places_) {
      const auto& entry = imatrix_.entries.emplace(name, read_entry(name, places)).first->second;
      if (const auto* diagonal = places[Part::fisher]) note_fisher(name, entry, *diagonal);
    }
    if (imatrix_.entries.empty()) refuse("it holds no importance-matrix entries");
    return std::move(imatrix_);
  }

 private:
  enum class Part { sums, counts, signed_sums, maxima, sensitivity, fisher };
  static constexpr std::array<std::pair<Part, std::string_view>, 6> kSuffixes = {{
      {Part::sums, kSumsSuffix},
      {Part::counts, kCountsSuffix},
      {Part::signed_sums, kSignedSumsSuffix},
      {Part::maxima, kMaximaSuffix},
      {Part::sensitivity, kSensitivitySuffix},
      {Part::fisher, kFisherSuffix},
  }};

  /// The tensors of one entry, by part; null where there is none.
  class Places {
   public:
    const gguf::StoredTensor*& operator[](Part part) { return tensors_[static_cast<std::size_t>(part)]; }
    const gguf::StoredTensor* operator[](Part part) const { return tensors_[static_cast<std::size_t>(part)]; }
    const gguf::StoredTensor& any() const {
      return **std::ranges::find_if(tensors_, [](const auto* tensor) { return tensor != nullptr; });
    }

   private:
    std::array<const gguf::StoredTensor*, kSuffixes.size()> tensors_ = {};
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
    read_tessera_keys();
  }

  void read_tessera_keys() {
    const auto& metadata = header_.metadata;
    if (metadata.contains(kMethodKey)) {
      const std::string name = metadata.text(kMethodKey).value_or("");
      const auto method = importance_method_from_name(name);
      if (!method) {
        refuse(
            fmt::format("metadata key '{}' is '{}', a method this version does not know; use the version of "
                        "Tessera that made it",
                        kMethodKey, printable(name)));
      }
      imatrix_.method = *method;
    }
    imatrix_.provenance = {metadata.text(kVersionKey).value_or(""), metadata.text(kModelHashKey).value_or(""),
                           metadata.text(kDataHashKey).value_or(""), metadata.text(kOptionsKey).value_or("")};
  }

  std::uint32_t read_uint32(std::string_view key) const {
    const auto value = header_.metadata.unsigned_integer(key);
    if (!value || *value > std::numeric_limits<std::uint32_t>::max()) refuse_key(key, "a uint32");
    return static_cast<std::uint32_t>(*value);
  }

  void note(const gguf::StoredTensor& tensor) {
    const std::string_view name = tensor.descriptor.name;
    for (const auto& [part, suffix] : kSuffixes) {
      if (!name.ends_with(suffix)) continue;
      places_[std::string(name.substr(0, name.size() - suffix.size()))][part] = &tensor;
    }
  }

  void require(const std::string& name, const Places& places, Part part, std::string_view suffix) const {
    if (places[part]) return;
    refuse_tensor(places.any(), fmt::format("importance-matrix entry '{}' has no tensor '{}{}'",
                                            printable(name), printable(name), suffix));
  }

  Entry read_entry(const std::string& name, const Places& places) const {
    require(name, places, Part::sums, kSumsSuffix);
    require(name, places, Part::counts, kCountsSuffix);
    Entry entry;
    entry.sums = read_floats(*places[Part::sums], name, "sum");
    entry.counts = read_counts(*places[Part::counts], name);
    if (entry.sums.size() % entry.experts() != 0) {
      refuse_tensor(*places[Part::sums],
                    fmt::format("{} sums cannot belong to {} counts", entry.sums.size(), entry.experts()));
    }
    entry.columns = entry.sums.size() / entry.experts();
    if (const auto* tensor = places[Part::signed_sums])
      entry.signed_sums = read_sized(*tensor, name, "signed sum", entry.sums.size());
    if (const auto* tensor = places[Part::maxima])
      entry.maxima = read_sized(*tensor, name, "maximum", entry.sums.size());
    if (const auto* tensor = places[Part::sensitivity])
      entry.sensitivity = read_sized(*tensor, name, "sensitivity", 1).front();
    return entry;
  }

  std::vector<std::uint64_t> read_counts(const gguf::StoredTensor& tensor, const std::string& name) const {
    std::vector<std::uint64_t> counts;
    for (const float count : read_floats(tensor, name, "count")) {
      if (count > kMaxCount) refuse_tensor(tensor, fmt::format("a count of {} tokens is impossible", count));
      counts.push_back(static_cast<std::uint64_t>(std::llround(count)));
    }
    return counts;
  }

  /// A statistic that goes with others of `size` values.
  std::vector<float> read_sized(const gguf::StoredTensor& tensor, const std::string& name,
                                std::string_view what, std::size_t size) const {
    if (tensor.descriptor.weights() != size) {
      refuse_tensor(tensor, fmt::format("it has {} values where the entry needs {}",
                                        tensor.descriptor.weights(), size));
    }
    return read_floats(tensor, name, what);
  }

  void note_fisher(const std::string& name, const Entry& entry, const gguf::StoredTensor& tensor) {
    const auto& diagonal = tensor.descriptor;
    if (diagonal.type != ElementType::F32 && diagonal.type != ElementType::F16 &&
        diagonal.type != ElementType::BF16) {
      refuse_tensor(tensor, fmt::format("it must be F32, F16 or BF16, not {}", name_of(diagonal.type)));
    }
    if (diagonal.columns() != entry.columns || diagonal.rows() % entry.experts() != 0) {
      refuse_tensor(tensor,
                    fmt::format("{} rows of {} columns cannot belong to an entry of {} columns and {} {}",
                                diagonal.rows(), diagonal.columns(), entry.columns, entry.experts(),
                                entry.experts() == 1 ? "matrix" : "experts"));
    }
    imatrix_.fisher.emplace(name, diagonal);
  }

  std::vector<float> read_floats(const gguf::StoredTensor& tensor, const std::string& name,
                                 std::string_view what) const {
    if (tensor.descriptor.type != ElementType::F32) {
      refuse_tensor(tensor, fmt::format("it must be F32, not {}", name_of(tensor.descriptor.type)));
    }
    return read_statistics({bytes_.subspan(tensor.begin, tensor.bytes), tensor.begin, file_, name, what,
                            tensor.descriptor.name.ends_with(kSignedSumsSuffix)});
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

}  // namespace

ImatrixFile parse_gguf(std::span<const std::byte> bytes, const std::string& file) {
  return GgufFormReader(bytes, file).read();
}

}  // namespace tessera::imatrix
