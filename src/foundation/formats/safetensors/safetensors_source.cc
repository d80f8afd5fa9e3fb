#include "foundation/formats/safetensors/safetensors_source.h"

#include <fmt/format.h>

#include <cassert>
#include <map>
#include <set>
#include <unordered_map>

#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "foundation/formats/safetensors/float8_blocks.h"
#include "foundation/formats/safetensors/header.h"
#include "foundation/formats/safetensors/shard_index.h"
#include "foundation/tensor/tensor_index.h"

namespace tessera::safetensors {
namespace {

/// A tensor as some file stores it.
struct Placed {
  StoredTensor stored;
  std::size_t file;
};

/// All files of a checkpoint and everything stored in them.
struct Checkpoint {
  std::vector<MappedFile> files;
  std::vector<Placed> tensors;
  TensorIndex index;  ///< into `tensors`

  std::span<const std::byte> bytes(const Placed& tensor) const {
    return files[tensor.file].bytes().subspan(tensor.stored.begin, tensor.stored.bytes);
  }

  [[noreturn]] void refuse(const Placed& tensor, const std::string& message) const {
    throw BadFileError({.file = files[tensor.file].path(),
                        .tensor = printable(tensor.stored.name),
                        .offset = tensor.stored.begin},
                       message);
  }

  void add_file(const std::filesystem::path& path) {
    MappedFile file(path);
    for (auto& tensor : read_header(file.bytes(), file.path())) {
      if (!index.insert(tensor.name, tensors.size())) {
        throw BadFileError({.file = file.path(), .tensor = printable(tensor.name), .offset = tensor.begin},
                           "another shard has a tensor of this name too");
      }
      tensors.push_back({std::move(tensor), files.size()});
    }
    files.push_back(std::move(file));
  }
};

Checkpoint open_shards(const std::filesystem::path& folder) {
  const MappedFile index_file(folder / kIndexFileName);
  const WeightMap map = read_shard_index(index_file.bytes(), index_file.path());
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map) shards.insert(shard);

  Checkpoint checkpoint;
  std::map<std::string, std::size_t> file_of_shard;
  for (const auto& shard : shards) {
    std::error_code ignored;
    if (!std::filesystem::exists(folder / shard, ignored)) {
      throw BadFileError(
          {.file = index_file.path()},
          fmt::format("the shard '{}' it names is missing; download it again", printable(shard)));
    }
    file_of_shard[shard] = checkpoint.files.size();
    checkpoint.add_file(folder / shard);
  }
  for (const auto& [tensor, shard] : map) {
    const auto found = checkpoint.index.find(tensor);
    if (found && checkpoint.tensors[*found].file == file_of_shard[shard]) continue;
    throw BadFileError(
        {.file = index_file.path(), .tensor = printable(tensor)},
        fmt::format("the index places it in '{}', but that shard does not hold it", printable(shard)));
  }
  return checkpoint;
}

Checkpoint open_checkpoint(const std::filesystem::path& path) {
  // What cannot be looked at is opened, so that the error says why.
  std::error_code unknown;
  Checkpoint checkpoint;
  if (!std::filesystem::is_directory(path, unknown)) {
    checkpoint.add_file(path);
  } else if (std::filesystem::exists(path / kSingleFileName, unknown)) {
    checkpoint.add_file(path / kSingleFileName);
  } else if (std::filesystem::exists(path / kIndexFileName, unknown)) {
    return open_shards(path);
  } else {
    throw BadFileError({.file = path.string()},
                       fmt::format("the folder holds neither {} nor {}", kSingleFileName, kIndexFileName));
  }
  return checkpoint;
}

class SafetensorsSource final : public WeightSource {
 public:
  explicit SafetensorsSource(const std::filesystem::path& path)
      : name_(path.string()), checkpoint_(open_checkpoint(path)) {
    std::set<std::size_t> scale_tensors;
    for (const auto& tensor : checkpoint_.tensors) {
      if (!tensor.stored.type->element) scale_tensors.insert(scales_of(tensor));
    }
    for (std::size_t i = 0; i < checkpoint_.tensors.size(); ++i) {
      if (!scale_tensors.contains(i)) publish(i);
    }
  }

  const std::string& name() const override { return name_; }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }

  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    const auto stored = mapped_rows(tensor, rows);
    const auto& place = places_[tensor];
    if (!place.scales) return stored;
    const Placed& scales = checkpoint_.tensors[*place.scales];
    scratch.resize(stored.size() * sizeof(float));
    decode_float8_rows(stored, tensors_[tensor].columns(), rows.first,
                       {checkpoint_.bytes(scales), *scales.stored.type->element},
                       {reinterpret_cast<float*>(scratch.data()), stored.size()});
    return scratch;
  }

  void discard(std::size_t tensor, RowRange rows) const override {
    checkpoint_.files[checkpoint_.tensors[places_[tensor].stored].file].discard(mapped_rows(tensor, rows));
  }

 private:
  struct Place {
    std::size_t stored;                 ///< into checkpoint_.tensors
    std::optional<std::size_t> scales;  ///< likewise, for 8-bit floats
  };

  void publish(std::size_t number) {
    const auto& tensor = checkpoint_.tensors[number];
    const auto element = tensor.stored.type->element;
    index_.insert(tensor.stored.name, tensors_.size());
    tensors_.push_back({tensor.stored.name, element.value_or(ElementType::F32), tensor.stored.shape});
    places_.push_back({number, element ? std::nullopt : std::optional(scales_of(tensor))});
  }

  /// The tensor with the block scales of an 8-bit float tensor, checked.
  std::size_t scales_of(const Placed& tensor) const {
    const std::string name = tensor.stored.name + std::string(kFloat8ScaleSuffix);
    const auto found = checkpoint_.index.find(name);
    if (!found)
      checkpoint_.refuse(
          tensor, fmt::format("it is F8_E4M3, but its block scales '{}' are missing", printable(name)));
    const auto& shape = tensor.stored.shape;
    if (shape.size() != 2)
      checkpoint_.refuse(tensor, "an F8_E4M3 tensor with block scales must have two dimensions");
    const Placed& scales = checkpoint_.tensors[*found];
    const auto element = scales.stored.type->element;
    if (element != ElementType::F32 && element != ElementType::BF16) {
      checkpoint_.refuse(scales,
                         fmt::format("block scales must be F32 or BF16, not {}", scales.stored.type->name));
    }
    const std::vector<std::uint64_t> expected{float8_tiles(shape[0]), float8_tiles(shape[1])};
    if (scales.stored.shape != expected) {
      checkpoint_.refuse(scales, fmt::format("the block scales of a tensor of {} x {} must be {} x {}",
                                             shape[0], shape[1], expected[0], expected[1]));
    }
    return *found;
  }

  std::span<const std::byte> mapped_rows(std::size_t tensor, RowRange rows) const {
    const auto& stored = checkpoint_.tensors[places_[tensor].stored];
    const auto& descriptor = tensors_[tensor];
    assert(rows.first + rows.count <= descriptor.rows());
    const std::uint64_t bytes = descriptor.columns() * stored.stored.type->bytes;
    return checkpoint_.bytes(stored).subspan(rows.first * bytes, rows.count * bytes);
  }

  std::string name_;
  Checkpoint checkpoint_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Place> places_;  ///< by tensor
  TensorIndex index_;          ///< into tensors_
};

}  // namespace

std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& path) {
  return std::make_unique<SafetensorsSource>(path);
}

}  // namespace tessera::safetensors
