#include "foundation/formats/gguf/gguf_writer.h"

#include <cassert>

#include "foundation/base/atomic_file_set.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/formats/gguf/layout.h"

namespace tessera::gguf {
namespace {

class GgufSink final : public ResumableSink {
 public:
  GgufSink(const std::vector<Part>& parts, std::vector<TensorDescriptor> tensors, AtomicFile::Opening opening)
      : tensors_(std::move(tensors)) {
    for (const auto& part : parts) {
      const std::size_t file = files_.add(part.path, part.file_bytes, opening);
      files_.write_at(file, 0, write_header(part.metadata, part.tensors(tensors_)));
      place_tensors(file, part);
    }
  }

  std::span<const TensorDescriptor> tensors() const override { return tensors_; }

  void write_rows(std::size_t tensor, std::uint64_t first_row, std::span<const std::byte> rows) override {
    const auto& descriptor = tensors_[tensor];
    const std::uint64_t bytes = row_bytes(descriptor.type, descriptor.columns());
    assert(rows.size() % bytes == 0 && first_row + rows.size() / bytes <= descriptor.rows());
    files_.write_at(places_[tensor].file, places_[tensor].begin + first_row * bytes, rows);
  }

  void commit() override { files_.commit(); }

  void checkpoint() override {
    files_.sync();
    files_.set_kept(true);
  }

  void abandon() override { files_.set_kept(false); }

 private:
  struct Place {
    std::size_t file;
    std::uint64_t begin;
  };

  void place_tensors(std::size_t file, const Part& part) {
    std::uint64_t begin = part.header_bytes;
    for (const auto& tensor : part.tensors(tensors_)) {
      places_.push_back({file, begin});
      begin += align_up(tensor.bytes(), kDefaultAlignment);
    }
  }

  AtomicFileSet files_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<Place> places_;  ///< by tensor
};

}  // namespace

std::vector<PlannedFile> plan_gguf(const std::filesystem::path& path, const Metadata& metadata,
                                   const std::vector<TensorDescriptor>& tensors,
                                   const WriteSettings& settings) {
  std::vector<PlannedFile> files;
  for (const auto& part : lay_out(path, metadata, tensors, settings.split_max_bytes)) {
    files.push_back({part.path, part.file_bytes});
  }
  return files;
}

std::unique_ptr<ResumableSink> create_gguf(const std::filesystem::path& path, const Metadata& metadata,
                                           const std::vector<TensorDescriptor>& tensors,
                                           const WriteSettings& settings) {
  const auto opening = settings.reopen ? AtomicFile::Opening::reopen : AtomicFile::Opening::fresh;
  return std::make_unique<GgufSink>(lay_out(path, metadata, tensors, settings.split_max_bytes), tensors,
                                    opening);
}

}  // namespace tessera::gguf
