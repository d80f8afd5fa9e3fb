// A model as it is evaluated: opened from its files, with the exact weights of a sidecar put back where there
// is one (artifacts/sidecar.h).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "model/source/open_model.h"
#include "pipeline/evaluate.h"

namespace tessera::pipeline {

class RestoredModel {
 public:
  /// Of `settings` what says how models are opened. Throws BadFileError: for a sidecar of another model, told
  /// by the content of its files, or with tensors that the model does not have in that shape; and
  /// InterruptedError while the model is hashed.
  RestoredModel(const std::filesystem::path& path, const std::optional<std::filesystem::path>& sidecar,
                const EvaluateSettings& settings, ProgressObserver& progress, const StopFlag& stop);

  /// Refers to this.
  EvaluationSubject subject() const;

 private:
  std::string name_;
  model::OpenedModel stored_;
  std::optional<model::OpenedModel> restored_;  ///< with a sidecar; reads stored_
  std::vector<std::filesystem::path> files_;
};

}  // namespace tessera::pipeline
