#include "foundation/formats/gguf/gguf_file.h"

#include <fmt/format.h>

#include <cassert>
#include <fstream>

#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/gguf/split_name.h"
#include "foundation/tensor/tensor_index.h"

namespace tessera::gguf {
namespace {

class MappedGguf final : public GgufFile {
 public:
  explicit MappedGguf(const std::filesystem::path& path) : name_(path.string()) {
    metadata_ = add_part(path);
    add_other_parts(path);
  }

  const Metadata& metadata() const override { return metadata_; }
  std::uint64_t file_bytes() const override {
    std::uint64_t sum = 0;
    for (const auto& part : parts_) sum += part.bytes().size();
    return sum;
  }
  const std::string& name() const override { return name_; }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }

  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& /*scratch*/) const override {
    return mapped_rows(tensor, rows);
  }
  void discard(std::size_t tensor, RowRange rows) const override {
    parts_[places_[tensor].part].discard(mapped_rows(tensor, rows));
  }

 private:
  struct Place {
    std::size_t part;
    std::uint64_t begin;
  };

  std::span<const std::byte> mapped_rows(std::size_t tensor, RowRange rows) const {
    const auto& descriptor = tensors_[tensor];
    assert(rows.first + rows.count <= descriptor.rows());
    const std::uint64_t bytes = row_bytes(descriptor.type, descriptor.columns());
    const Place& place = places_[tensor];
    return parts_[place.part].bytes().subspan(place.begin + rows.first * bytes, rows.count * bytes);
  }

  /// Maps one part and takes over its tensors; returns its metadata.
  Metadata add_part(const std::filesystem::path& path) {
    MappedFile file(path);
    Header header = read_header(file.bytes(), file.path());
    for (auto& tensor : header.tensors) {
      if (!index_.insert(tensor.descriptor.name, tensors_.size())) {
        throw BadFileError(
            {.file = file.path(), .tensor = printable(tensor.descriptor.name), .offset = tensor.begin},
            "an earlier part of the split model has a tensor of this name too");
      }
      places_.push_back({parts_.size(), tensor.begin});
      tensors_.push_back(std::move(tensor.descriptor));
    }
    parts_.push_back(std::move(file));
    return std::move(header.metadata);
  }

  void add_other_parts(const std::filesystem::path& path) {
    const std::uint64_t count =
        metadata_.contains(kSplitCountKey) ? split_key(metadata_, kSplitCountKey, name_) : 0;
    if (count > 1) {  // tools that merge splits leave a count of 0 or 1 in the whole file
      const std::uint64_t number = split_key(metadata_, kSplitNumberKey, name_);
      const std::uint64_t tensor_count = split_key(metadata_, kSplitTensorCountKey, name_);
      const auto prefix = split_prefix(path, 0, count);
      if (number != 0) {
        refuse(name_,
               fmt::format("this is part {} of a model split in {}; open its first part", number + 1, count));
      }
      if (!prefix) {
        refuse(name_, fmt::format("this is the first part of a split model, so its name must end in '{}'",
                                  split_path({}, 0, count).string()));
      }
      for (std::uint64_t part = 1; part < count; ++part)
        add_later_part(split_path(*prefix, part, count), part, count);
      if (tensors_.size() != tensor_count) {
        refuse(name_, fmt::format("metadata key '{}' says {} tensors, but the {} parts hold {}",
                                  kSplitTensorCountKey, tensor_count, count, tensors_.size()));
      }
    }
    for (const auto key : {kSplitNumberKey, kSplitCountKey, kSplitTensorCountKey}) metadata_.erase(key);
  }

  void add_later_part(const std::filesystem::path& path, std::uint64_t part, std::uint64_t count) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
      refuse(path.string(),
             fmt::format("part {} of {} of the split model '{}' is missing", part + 1, count, name_));
    }
    const Metadata metadata = add_part(path);
    const std::uint64_t number = split_key(metadata, kSplitNumberKey, path.string());
    const std::uint64_t stated_count = split_key(metadata, kSplitCountKey, path.string());
    if (number != part || stated_count != count) {
      refuse(path.string(), fmt::format("its metadata says part {} of {}, but its name says part {} of {}",
                                        number + 1, stated_count, part + 1, count));
    }
  }

  static std::uint64_t split_key(const Metadata& metadata, std::string_view key, const std::string& file) {
    if (const auto value = metadata.unsigned_integer(key)) return *value;
    refuse(file,
           fmt::format(
               "metadata key '{}' is missing or not a non-negative integer, though the model is split", key));
  }

  [[noreturn]] static void refuse(const std::string& file, const std::string& message) {
    throw BadFileError({.file = file}, message);
  }

  std::string name_;
  std::vector<MappedFile> parts_;
  Metadata metadata_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Place> places_;  ///< by tensor
  TensorIndex index_;
};

}  // namespace

std::unique_ptr<GgufFile> open_gguf(const std::filesystem::path& path) {
  return std::make_unique<MappedGguf>(path);
}

bool is_gguf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string start(kMagic.size(), '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  return file.good() && start == kMagic;
}

}  // namespace tessera::gguf
