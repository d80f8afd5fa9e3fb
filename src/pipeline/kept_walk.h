// Walks for sensitivities, as they are kept: what identifies one, and its checkpoint.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>

#include "foundation/base/error.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "pipeline/imatrix.h"
#include "pipeline/text_walk_job.h"
#include "pipeline/walk_checkpoint.h"

namespace tessera::pipeline {

/// Of a walk over the windows of `corpus`: content of model and texts, the settings of the walk, the seed,
/// and what it is for. Throws as FileHashes.
CheckpointIdentity identity_of_walk(const TextWalkJob& job, const model::CorpusSettings& corpus,
                                    const std::string& purpose, ProgressObserver& progress,
                                    const StopFlag& stop);

/// Opens the checkpoint where there is one, runs, and says on an interruption that the work is kept. A run
/// that fails before its first step is kept leaves nothing.
template <class Run>
auto with_checkpoint(const TextWalkJob& job, const CheckpointIdentity& identity, const Run& run) {
  std::optional<LayerCheckpoint> folder;
  const auto& place = job.settings.checkpoint;
  if (place) folder.emplace(*place / result_key(identity).text(), identity);
  WalkCheckpoint checkpoint(folder ? &*folder : nullptr);
  try {
    auto result = run(checkpoint);
    if (folder) folder->clear();
    return result;
  } catch (const InterruptedError&) {
    if (!folder) throw;
    throw InterruptedError(fmt::format(
        "interrupted; {} steps are finished, the same command goes on from there", checkpoint.finished()));
  } catch (const Error&) {
    if (folder && checkpoint.finished() == 0) folder->clear();
    throw;
  }
}

}  // namespace tessera::pipeline
