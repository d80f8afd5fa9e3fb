// Finding the super weights of a model (artifacts/super_weight.h): by coverage, by activation spikes, or
// both.
//
// Weights considered by coverage are those of all matrices that quantization may touch (kept_tensors.h) and
// that the score knows: with an importance matrix those that have an entry, without one all. How they are
// scored:
//
//   importance matrix     score (CoverageOutcome::score)
//   none, no texts        "magnitude"             |w|
//   activation            "activation"            |w| times the root mean square of the input of its column
//   fisher, per weight    "gradient"              |w| times the root mean square of its gradient
//   fisher                "gradient of columns"   the same, with the mean over the rows of each column
//
// The method gradient has sums over columns of |gradient times weight|, which do not tell weights of a column
// apart, and is refused. Experts that no token passed score 0.
#pragma once

#include <filesystem>
#include <optional>

#include "artifacts/super_weight.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "pipeline/text_walk_job.h"
#include "stages/coverage_scan.h"
#include "stages/spike_observer.h"

namespace tessera::pipeline {

/// Which weights to look for.
enum class SuperWeightSearch { coverage, spikes, both };

struct SuperWeightSettings {
  SuperWeightSearch search = SuperWeightSearch::both;
  stages::CoverageSettings coverage = {};  ///< `threads` does not count: those of the job do
  /// Scores by coverage; empty: computed from the job's texts, where it has some.
  std::optional<std::filesystem::path> imatrix = std::nullopt;
  stages::SpikeSettings spikes = {};
  std::uint32_t spike_samples = 16;  ///< windows of the texts that are searched for spikes; 0: all
  /// Whether the list says which model it is of: reads the model's files once more, unless their hashes are
  /// remembered (file_hashes.h).
  bool names_model = true;
};

/// Throws UsageError (settings out of range; spikes without texts), BadFileError (also on models that the
/// forward pass does not know, when texts are walked), IoError or InterruptedError.
SuperWeightList find_super_weights(const TextWalkJob& job, const SuperWeightSettings& settings,
                                   ProgressObserver& progress, const StopFlag& stop);

/// Throws UsageError saying what to do: settings that are out of range, or want texts that are not there.
void check(const SuperWeightSettings& settings, bool has_texts);

}  // namespace tessera::pipeline
