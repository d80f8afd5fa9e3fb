#include "pipeline/importance_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "foundation/base/error.h"
#include "foundation/codecs/codec.h"
#include "foundation/formats/imatrix/fisher_reader.h"
#include "foundation/formats/imatrix/imatrix_writer.h"
#include "pipeline/imatrix.h"
#include "pipeline/output_guard.h"
#include "stages/compare_importance.h"
#include "stages/merge_importance.h"
#include "stages/summarize_importance.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

/// Rows of Fisher diagonals in memory at a time, per input.
constexpr std::uint64_t kRowsAtATime = 256;

/// Averages the diagonals of all inputs, weighted by the tokens behind them.
class FisherMerger {
 public:
  FisherMerger(std::span<const stages::ImportanceInput> inputs, imatrix::ImatrixWriter& writer)
      : inputs_(inputs), writer_(writer) {
    for (const auto& input : inputs) {
      if (!input.matrix.fisher.empty()) readers_.emplace(input.file, imatrix::FisherReader(input.file));
    }
  }

  void merge(const std::string& name, const TensorDescriptor& diagonal, std::uint64_t experts,
             const StopFlag& stop) {
    const std::uint64_t rows_per_expert = diagonal.rows() / experts;
    for (std::uint64_t first = 0; first < diagonal.rows();) {
      stop.check();
      const std::uint64_t expert = first / rows_per_expert;
      const std::uint64_t count = std::min(kRowsAtATime, (expert + 1) * rows_per_expert - first);
      write(name, diagonal, first, weighted_mean(name, diagonal, expert, {first, count}));
      first += count;
    }
  }

 private:
  /// Zeros for an expert that no input has seen.
  std::vector<float> weighted_mean(const std::string& name, const TensorDescriptor& diagonal,
                                   std::uint64_t expert, RowRange rows) const {
    std::vector<double> sums(rows.count * diagonal.columns());
    double tokens = 0;
    for (const auto& input : inputs_) {
      const auto entry = input.matrix.entries.find(name);
      if (entry == input.matrix.entries.end()) continue;
      const auto count = static_cast<double>(entry->second.counts[expert]);
      const auto values = readers_.at(input.file).rows(name, rows);
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += count * values[i];
      tokens += count;
    }
    std::vector<float> mean(sums.size());
    for (std::size_t i = 0; i < sums.size() && tokens > 0; ++i)
      mean[i] = static_cast<float>(sums[i] / tokens);
    return mean;
  }

  void write(const std::string& name, const TensorDescriptor& diagonal, std::uint64_t first_row,
             const std::vector<float>& rows) {
    std::vector<std::byte> bytes(rows.size() / diagonal.columns() *
                                 row_bytes(diagonal.type, diagonal.columns()));
    codecs::codec_for(diagonal.type).encode({rows, diagonal.columns(), {}}, bytes);
    writer_.write_fisher_rows(name, first_row, bytes);
  }

  std::span<const stages::ImportanceInput> inputs_;
  imatrix::ImatrixWriter& writer_;
  std::map<std::string, imatrix::FisherReader> readers_;  ///< by file
};

void write_with_fisher(const fs::path& output, const imatrix::ImatrixFile& merged,
                       std::span<const stages::ImportanceInput> inputs, const StopFlag& stop) {
  imatrix::ImatrixWriter writer(output, merged);
  FisherMerger merger(inputs, writer);
  for (const auto& [name, diagonal] : merged.fisher) {
    merger.merge(name, diagonal, merged.entries.at(name).experts(), stop);
  }
  writer.write_statistics(merged.entries);
  writer.commit();
}

}  // namespace

ImportanceDescription show_importance(const fs::path& path, std::size_t top_columns) {
  auto matrix = imatrix::read_imatrix(path);
  auto summary = stages::summarize_importance(matrix, top_columns);
  return {path.string(), std::move(matrix), std::move(summary)};
}

nlohmann::json to_json(const ImportanceDescription& description) {
  const auto& matrix = description.matrix;
  const auto& provenance = matrix.provenance;
  auto json = to_json(description.summary);
  json["path"] = description.path;
  json["datasets"] = matrix.datasets;
  json["chunk_count"] = matrix.chunk_count;
  json["chunk_size"] = matrix.chunk_size;
  if (!provenance.version.empty()) json["tessera_version"] = provenance.version;
  if (!provenance.model_hash.empty()) json["model_hash"] = provenance.model_hash;
  if (!provenance.data_hash.empty()) json["data_hash"] = provenance.data_hash;
  if (!provenance.options.empty()) json["options"] = provenance.options;
  return json;
}

ImportanceComparison compare_importance_files(const fs::path& first, const fs::path& second) {
  return stages::compare_importance(imatrix::read_imatrix(first), imatrix::read_imatrix(second),
                                    second.string());
}

imatrix::ImatrixFile merge_importance_files(const std::vector<fs::path>& inputs, const fs::path& output,
                                            ProgressObserver& progress, const StopFlag& stop) {
  if (inputs.size() < 2) throw UsageError("name two or more importance matrices to merge");
  refuse_writing_over_inputs({output}, inputs);
  std::vector<stages::ImportanceInput> parts;
  for (const auto& input : inputs) parts.push_back({input.string(), imatrix::read_imatrix(input)});
  auto merged = stages::merge_importance(parts, progress);
  if (is_legacy_output(output) && !merged.fisher.empty()) {
    progress.note(output.string() + ": the old form has no place for Fisher diagonals; they are left out");
    merged.fisher.clear();
  }
  if (merged.fisher.empty()) {
    write_importance(output, merged, inputs, progress);
  } else {
    write_with_fisher(output, merged, parts, stop);
  }
  return merged;
}

}  // namespace tessera::pipeline
