#include "pipeline/restored_model.h"

#include <fmt/format.h>

#include <memory>

#include "artifacts/sidecar.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "pipeline/cache_folder.h"
#include "pipeline/file_hashes.h"
#include "pipeline/imatrix.h"
#include "pipeline/output_guard.h"
#include "stages/edited_weights.h"

namespace tessera::pipeline {
namespace {

/// The sidecar's weights as numbered in the model.
std::vector<stages::WeightEdit> edits_of(const Sidecar& sidecar, const WeightSource& weights,
                                         const std::string& file) {
  std::vector<stages::WeightEdit> edits;
  for (const auto& tensor : sidecar.tensors) {
    const auto number = weights.find(tensor.name);
    if (!number) {
      throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                         fmt::format("{} has no such tensor", weights.name()));
    }
    const auto& descriptor = weights.tensors()[*number];
    if (descriptor.shape != std::vector{tensor.rows, tensor.columns}) {
      throw BadFileError(
          {.file = file, .tensor = printable(tensor.name)},
          fmt::format("it is for {} rows of {} columns, but {} has {} rows of {} columns", tensor.rows,
                      tensor.columns, weights.name(), descriptor.rows(), descriptor.columns()));
    }
    for (const auto& weight : tensor.weights)
      edits.push_back({*number, weight.row, weight.column, weight.value});
  }
  return edits;
}

}  // namespace

RestoredModel::RestoredModel(const std::filesystem::path& path,
                             const std::optional<std::filesystem::path>& sidecar,
                             const EvaluateSettings& settings, ProgressObserver& progress,
                             const StopFlag& stop)
    : name_(path.string()), stored_(open_for_evaluation(path, settings.open)), files_(files_of_model(path)) {
  if (!sidecar) return;
  const auto content = read_sidecar(*sidecar);
  auto edits = edits_of(content, *stored_.weights, sidecar->string());
  FileHashes hashes({default_cache_folder(), settings.threads}, progress, stop);
  if (const auto hash = hash_of_model(path, hashes); hash != content.base_hash) {
    throw BadFileError(
        {.file = sidecar->string()},
        fmt::format("it was made for a model with the hash {}, but {} has {}: what it adds belongs to other "
                    "weights. Take the sidecar that was written beside the model, or quantize anew",
                    printable(content.base_hash), path.string(), hash));
  }
  restored_.emplace();
  restored_->weights = std::make_unique<stages::EditedWeights>(*stored_.weights, std::move(edits));
  restored_->metadata = stored_.metadata;
  restored_->attention_windows = stored_.attention_windows;
  files_.push_back(*sidecar);
}

EvaluationSubject RestoredModel::subject() const {
  return {name_, restored_ ? *restored_ : stored_, files_, stored_.weights.get()};
}

}  // namespace tessera::pipeline
