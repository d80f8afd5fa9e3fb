// bytes := number, number x { name, counts, sums, maxima, row sums }; a name and each list as its number and
// then its elements, numbers as uint64, all in the machine's order.
#include "artifacts/calibration_statistics.h"

#include <cstring>

namespace tessera {
namespace {

template <class T>
void append(std::vector<std::byte>& bytes, std::span<const T> values) {
  if (values.empty()) return;
  const std::size_t before = bytes.size();
  bytes.resize(before + values.size_bytes());
  std::memcpy(bytes.data() + before, values.data(), values.size_bytes());
}

template <class T>
void append_counted(std::vector<std::byte>& bytes, std::span<const T> values) {
  const std::uint64_t count = values.size();
  append(bytes, std::span(&count, 1));
  append(bytes, values);
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  std::uint64_t number() {
    std::uint64_t value = 0;
    copy(std::span(&value, 1));
    return value;
  }

  template <class Values>
  Values counted() {
    Values values;
    const std::uint64_t count = number();
    if (count > rest_.size() / sizeof(typename Values::value_type)) whole_ = false;
    if (!whole_) return values;
    values.resize(static_cast<std::size_t>(count));
    copy(std::span(values));
    return values;
  }

  bool whole() const { return whole_; }
  bool at_end() const { return rest_.empty(); }

 private:
  template <class T>
  void copy(std::span<T> values) {
    whole_ = whole_ && values.size_bytes() <= rest_.size();
    if (!whole_ || values.empty()) return;
    std::memcpy(values.data(), rest_.data(), values.size_bytes());
    rest_ = rest_.subspan(values.size_bytes());
  }

  std::span<const std::byte> rest_;
  bool whole_ = true;
};

}  // namespace

std::vector<std::byte> to_bytes(const CalibrationStatistics& statistics) {
  std::vector<std::byte> bytes;
  const std::uint64_t count = statistics.size();
  append(bytes, std::span(&count, 1));
  for (const auto& [name, column] : statistics) {
    append_counted(bytes, std::span(name));
    append_counted(bytes, std::span(column.counts));
    append_counted(bytes, std::span(column.sums));
    append_counted(bytes, std::span(column.maxima));
    append_counted(bytes, std::span(column.row_sums));
  }
  return bytes;
}

std::optional<CalibrationStatistics> calibration_statistics_from(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  CalibrationStatistics statistics;
  for (std::uint64_t left = reader.number(); left > 0 && reader.whole(); --left) {
    const auto name = reader.counted<std::string>();
    ColumnStatistics column;
    column.counts = reader.counted<std::vector<std::uint64_t>>();
    column.sums = reader.counted<std::vector<double>>();
    column.maxima = reader.counted<std::vector<float>>();
    column.row_sums = reader.counted<std::vector<double>>();
    statistics[name] = std::move(column);
  }
  if (!reader.whole() || !reader.at_end()) return std::nullopt;
  return statistics;
}

}  // namespace tessera
