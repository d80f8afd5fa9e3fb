#include "foundation/formats/imatrix/imatrix_writer.h"

#include <cassert>

#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/formats/imatrix/imatrix_names.h"

namespace tessera::imatrix {
namespace {

using Shape = std::vector<std::uint64_t>;

gguf::Metadata metadata_of(const ImatrixFile& imatrix) {
  gguf::Metadata metadata;
  metadata.set(kTypeKey, std::string(kTypeValue));
  metadata.set(kDatasetsKey, gguf::Array(imatrix.datasets));
  metadata.set(kChunkCountKey, imatrix.chunk_count);
  metadata.set(kChunkSizeKey, imatrix.chunk_size);
  if (imatrix.method != ImportanceMethod::activation)
    metadata.set(kMethodKey, std::string(name_of(imatrix.method)));
  const auto set_if_known = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) metadata.set(key, value);
  };
  set_if_known(kVersionKey, imatrix.provenance.version);
  set_if_known(kModelHashKey, imatrix.provenance.model_hash);
  set_if_known(kDataHashKey, imatrix.provenance.data_hash);
  set_if_known(kOptionsKey, imatrix.provenance.options);
  return metadata;
}

/// One tensor of F32 statistics.
struct Statistic {
  std::string_view suffix;
  Shape shape;
  std::vector<float> values;
};

/// The tensors of an entry, in the order in which they are stored.
std::vector<Statistic> statistics_of(const Entry& entry) {
  const bool single = entry.experts() == 1;
  const Shape per_column = single ? Shape{entry.columns} : Shape{entry.experts(), entry.columns};
  std::vector<Statistic> list;
  list.push_back({kSumsSuffix, per_column, entry.sums});
  list.push_back({kCountsSuffix, single ? Shape{1} : Shape{entry.experts(), 1},
                  std::vector<float>(entry.counts.begin(), entry.counts.end())});
  if (!entry.signed_sums.empty()) list.push_back({kSignedSumsSuffix, per_column, entry.signed_sums});
  if (!entry.maxima.empty()) list.push_back({kMaximaSuffix, per_column, entry.maxima});
  if (entry.sensitivity) list.push_back({kSensitivitySuffix, {1}, {*entry.sensitivity}});
  return list;
}

std::vector<TensorDescriptor> describe(const ImatrixFile& outline) {
  std::vector<TensorDescriptor> tensors;
  for (const auto& [name, entry] : outline.entries) {
    for (const auto& statistic : statistics_of(entry))
      tensors.push_back({name + std::string(statistic.suffix), ElementType::F32, statistic.shape});
  }
  for (const auto& [name, diagonal] : outline.fisher)
    tensors.push_back({name + std::string(kFisherSuffix), diagonal.type, diagonal.shape});
  return tensors;
}

}  // namespace

ImatrixWriter::ImatrixWriter(const std::filesystem::path& path, const ImatrixFile& outline)
    : sink_(gguf::create_gguf(path, metadata_of(outline), describe(outline))) {
  std::size_t tensor = sink_->tensors().size() - outline.fisher.size();
  for (const auto& [name, diagonal] : outline.fisher) fisher_[name] = tensor++;
}

void ImatrixWriter::write_fisher_rows(const std::string& entry, std::uint64_t first_row,
                                      std::span<const std::byte> rows) {
  sink_->write_rows(fisher_.at(entry), first_row, rows);
}

void ImatrixWriter::write_statistics(const std::map<std::string, Entry>& entries) {
  std::size_t tensor = 0;
  for (const auto& [name, entry] : entries) {
    for (const auto& statistic : statistics_of(entry)) {
      assert(sink_->tensors()[tensor].name == name + std::string(statistic.suffix));
      sink_->write_rows(tensor++, 0, std::as_bytes(std::span(statistic.values)));
    }
  }
}

void write_imatrix_gguf(const std::filesystem::path& path, const ImatrixFile& imatrix) {
  assert(imatrix.fisher.empty());
  ImatrixWriter writer(path, imatrix);
  writer.write_statistics(imatrix.entries);
  writer.commit();
}

}  // namespace tessera::imatrix
