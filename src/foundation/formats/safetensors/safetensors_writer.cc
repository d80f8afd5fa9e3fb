#include "foundation/formats/safetensors/safetensors_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "foundation/base/atomic_file_set.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/safetensors/header.h"
#include "foundation/formats/safetensors/shard_index.h"

namespace tessera::safetensors {
namespace {

using Json = nlohmann::json;

/// The data begin at a multiple of this, so that every tensor is aligned when the widest types come first.
constexpr std::size_t kDataAlignment = 8;

/// One file: its tensors in the order of their data.
struct Shard {
  std::vector<std::size_t> tensors;
  std::string header;  ///< with the length field and the padding
  std::uint64_t data_bytes = 0;

  std::uint64_t file_bytes() const { return header.size() + data_bytes; }
};

std::uint32_t element_bytes(const TensorDescriptor& tensor) { return stored_type_of(tensor.type)->bytes; }

void check_tensors(std::span<const TensorDescriptor> tensors) {
  std::unordered_set<std::string_view> seen;
  for (const auto& tensor : tensors) {
    const auto refuse = [&](std::string_view reason) {
      throw UsageError(fmt::format("tensor '{}' cannot be written to a safetensors file: {}",
                                   printable(tensor.name), reason));
    };
    if (!stored_type_of(tensor.type)) refuse(fmt::format("the format has no type {}", name_of(tensor.type)));
    if (tensor.name.empty()) refuse("it has no name");
    if (std::ranges::count(tensor.shape, 0u) > 0) refuse("a dimension is zero");
    if (!seen.insert(tensor.name).second) refuse("two tensors have this name");
  }
}

std::string to_text(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception& error) {
    throw UsageError(
        fmt::format("a name cannot be written to a safetensors file: {}", printable(error.what(), 200)));
  }
}

Json describe(const TensorDescriptor& tensor, std::uint64_t begin) {
  return {{"dtype", stored_type_of(tensor.type)->name},
          {"shape", tensor.shape},
          {"data_offsets", {begin, begin + tensor.bytes()}}};
}

void complete(Shard& shard, std::span<const TensorDescriptor> all, const WriteSettings& settings) {
  std::ranges::stable_sort(shard.tensors, std::greater(),
                           [&](std::size_t tensor) { return element_bytes(all[tensor]); });
  Json header = Json::object();
  if (!settings.metadata.empty()) header["__metadata__"] = settings.metadata;
  for (const std::size_t tensor : shard.tensors) {
    header[all[tensor].name] = describe(all[tensor], shard.data_bytes);
    shard.data_bytes += all[tensor].bytes();
  }
  std::string text = to_text(header);
  text.resize((text.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment, ' ');
  const std::uint64_t length = text.size();
  shard.header.assign(reinterpret_cast<const char*>(&length), sizeof length);
  shard.header += text;
}

/// Cuts the tensors, in their order, into shards of at most `max_bytes`, or one tensor.
std::vector<Shard> cut(std::span<const TensorDescriptor> tensors, const WriteSettings& settings) {
  const std::uint64_t limit = settings.shard_max_bytes == 0 ? UINT64_MAX : settings.shard_max_bytes;
  // No offset has more digits than the largest, so the header never grows beyond this estimate.
  const std::uint64_t empty = to_text(Json(settings.metadata)).size() + 64;
  std::vector<Shard> shards(1);
  std::uint64_t bytes = empty;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t entry = to_text({{tensors[i].name, describe(tensors[i], UINT64_MAX / 2)}}).size();
    const std::uint64_t grown = entry + tensors[i].bytes();
    if (!shards.back().tensors.empty() && bytes + grown > limit) {
      shards.emplace_back();
      bytes = empty;
    }
    bytes += grown;
    shards.back().tensors.push_back(i);
  }
  for (auto& shard : shards) complete(shard, tensors, settings);
  return shards;
}

std::string shard_name(std::size_t shard, std::size_t count) {
  return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, count);
}

std::string index_text(std::span<const Shard> shards, std::span<const TensorDescriptor> tensors) {
  std::uint64_t total = 0;
  Json map = Json::object();
  for (std::size_t s = 0; s < shards.size(); ++s) {
    total += shards[s].data_bytes;
    for (const std::size_t tensor : shards[s].tensors)
      map[tensors[tensor].name] = shard_name(s, shards.size());
  }
  return to_text({{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}}) + "\n";
}

class SafetensorsSink final : public TensorSink {
 public:
  SafetensorsSink(const std::filesystem::path& folder, std::vector<TensorDescriptor> tensors,
                  const WriteSettings& settings)
      : tensors_(std::move(tensors)), places_(tensors_.size()) {
    check_tensors(tensors_);
    const std::vector<Shard> shards = cut(tensors_, settings);
    if (shards.size() == 1) {
      add_shard(folder / kSingleFileName, shards.front());
      return;
    }
    // First in the set, so last to appear: whoever finds the index finds its shards.
    add_text(folder / kIndexFileName, index_text(shards, tensors_));
    for (std::size_t s = 0; s < shards.size(); ++s)
      add_shard(folder / shard_name(s, shards.size()), shards[s]);
  }

  std::span<const TensorDescriptor> tensors() const override { return tensors_; }

  void write_rows(std::size_t tensor, std::uint64_t first_row, std::span<const std::byte> rows) override {
    const auto& descriptor = tensors_[tensor];
    const std::uint64_t bytes = row_bytes(descriptor.type, descriptor.columns());
    assert(rows.size() % bytes == 0 && first_row + rows.size() / bytes <= descriptor.rows());
    files_.write_at(places_[tensor].file, places_[tensor].begin + first_row * bytes, rows);
  }

  void commit() override { files_.commit(); }

 private:
  struct Place {
    std::size_t file = 0;
    std::uint64_t begin = 0;
  };

  std::size_t add_text(const std::filesystem::path& path, const std::string& text) {
    const std::size_t file = files_.add(path, text.size());
    files_.write_at(file, 0, std::as_bytes(std::span(text)));
    return file;
  }

  void add_shard(const std::filesystem::path& path, const Shard& shard) {
    const std::size_t file = files_.add(path, shard.file_bytes());
    files_.write_at(file, 0, std::as_bytes(std::span(shard.header)));
    std::uint64_t begin = shard.header.size();
    for (const std::size_t tensor : shard.tensors) {
      places_[tensor] = {file, begin};
      begin += tensors_[tensor].bytes();
    }
  }

  AtomicFileSet files_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Place> places_;  ///< by tensor
};

}  // namespace

std::unique_ptr<TensorSink> create_safetensors(const std::filesystem::path& folder,
                                               const std::vector<TensorDescriptor>& tensors,
                                               const WriteSettings& settings) {
  return std::make_unique<SafetensorsSink>(folder, tensors, settings);
}

}  // namespace tessera::safetensors
