// The legacy form (.dat), shared/formats/GGUF.md section 4. No magic, no padding, little-endian:
//
//     file  := i32:entries entry* [ i32:chunks [ i32:length dataset_name ] ]
//     entry := i32:length name i32:ncall i32:nval f32:value[nval]
//
// Importance of column c = value[c] / ncall, or value[c] itself when ncall <= 0.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "foundation/base/atomic_file.h"
#include "foundation/base/byte_reader.h"
#include "foundation/base/printable.h"
#include "foundation/formats/imatrix/imatrix_forms.h"

namespace tessera::imatrix {
namespace {

constexpr auto kMaxInt32 = std::numeric_limits<std::int32_t>::max();
/// A name of one byte and one value.
constexpr std::uint64_t kMinEntryBytes = 17;

/// Reads a count or length of at least `least`.
std::uint64_t read_size(ByteReader& reader, std::int32_t least, const std::string& what) {
  const std::uint64_t offset = reader.offset();
  const auto value = reader.read<std::int32_t>(what);
  if (value >= least) return static_cast<std::uint64_t>(value);
  throw BadFileError(
      {.file = reader.file(), .offset = offset},
      fmt::format("{} is {}, not at least {}; this is not an importance matrix, or it is damaged", what,
                  value, least));
}

void read_entry(ByteReader& reader, std::uint64_t number, ImatrixFile& imatrix) {
  const std::uint64_t start = reader.offset();
  const std::uint64_t length = read_size(reader, 1, fmt::format("the name length of entry {}", number));
  const std::string name(reader.take_text(length, fmt::format("the name of entry {}", number)));
  const std::string what = fmt::format("entry '{}'", printable(name));
  const auto calls = reader.read<std::int32_t>(what);
  const std::uint64_t values = read_size(reader, 1, "the number of values of " + what);
  const std::uint64_t offset = reader.offset();
  const auto bytes = reader.take(values * sizeof(float), what);
  Entry entry{values, read_statistics({bytes, offset, reader.file(), name, "sum"}), {}};
  entry.counts = {static_cast<std::uint64_t>(std::max(calls, 1))};
  if (!imatrix.entries.try_emplace(name, std::move(entry)).second) {
    throw BadFileError({.file = reader.file(), .offset = start}, what + " occurs twice");
  }
}

class LegacyWriter {
 public:
  explicit LegacyWriter(const ImatrixFile& imatrix) : imatrix_(imatrix) {
    put_int(std::ranges::count_if(imatrix.entries, [](const auto& item) { return has_data(item.second); }));
    for (const auto& [name, entry] : imatrix.entries) {
      if (has_data(entry)) put_entry(name, entry);
    }
    put_int(imatrix.chunk_count);
    put_text(imatrix.datasets.empty() ? std::string() : imatrix.datasets.back());
  }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  static bool has_data(const Entry& entry) {
    return std::ranges::any_of(entry.counts, [](std::uint64_t count) { return count > 0; });
  }

  void put(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void put_int(std::uint64_t value) {
    if (value > kMaxInt32) {
      throw UsageError(fmt::format(
          "the legacy importance-matrix form cannot hold the number {}; write the GGUF form", value));
    }
    const auto field = static_cast<std::int32_t>(value);
    put(std::as_bytes(std::span(&field, 1)));
  }
  void put_text(const std::string& text) {
    put_int(text.size());
    put(std::as_bytes(std::span(text)));
  }

  void put_entry(const std::string& name, const Entry& entry) {
    const std::uint64_t chunk = std::max<std::uint64_t>(imatrix_.chunk_size, 1);
    const std::uint64_t largest = std::ranges::max(entry.counts);
    const std::uint64_t calls = std::min<std::uint64_t>((largest - 1) / chunk + 1, kMaxInt32);
    put_text(name);
    put_int(calls);
    put_int(entry.sums.size());
    for (std::uint64_t e = 0; e < entry.experts(); ++e) {
      const auto count = static_cast<double>(entry.counts[e]);
      for (std::uint64_t c = 0; c < entry.columns; ++c) {
        const double mean = entry.counts[e] == 0 ? 1.0 : entry.sums[e * entry.columns + c] / count;
        const auto value = static_cast<float>(mean * static_cast<double>(calls));
        put(std::as_bytes(std::span(&value, 1)));
      }
    }
  }

  const ImatrixFile& imatrix_;
  std::vector<std::byte> bytes_;
};

}  // namespace

ImatrixFile parse_legacy(std::span<const std::byte> bytes, const std::string& file) {
  ByteReader reader(bytes, file);
  ImatrixFile imatrix;
  const std::uint64_t count = read_size(reader, 1, "the number of entries");
  reader.require_room(count, kMinEntryBytes, "importance-matrix entries");
  for (std::uint64_t i = 0; i < count; ++i) read_entry(reader, i, imatrix);
  if (reader.remaining() > 0) {
    // Some writers store a negative number here; only positive ones mean anything.
    imatrix.chunk_count =
        static_cast<std::uint32_t>(std::max(reader.read<std::int32_t>("the number of chunks"), 0));
  }
  if (reader.remaining() > 0) {
    const std::uint64_t length = read_size(reader, 0, "the length of the data set's name");
    imatrix.datasets.emplace_back(reader.take_text(length, "the data set's name"));
  }
  if (reader.remaining() > 0) {
    reader.fail(
        fmt::format("{} bytes follow the end of the importance matrix; it is damaged", reader.remaining()));
  }
  return imatrix;
}

void write_imatrix_legacy(const std::filesystem::path& path, const ImatrixFile& imatrix) {
  write_file_atomically(path, LegacyWriter(imatrix).bytes());
}

}  // namespace tessera::imatrix
