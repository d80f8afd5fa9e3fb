// What storing tensors costs when they are encoded with error feedback.
//
// Losses are predicted for the plain encoder (sensitivity.h). In the metric of a linear's output, on the
// tokens that it was learnt from, the error that error feedback leaves is a share of the plain encoder's,
// which depends on the tensor and on the type. That share is measured, and taken for that of the losses:
//
//     loss with feedback = loss of the plain encoder x share
//
// One walk of the model as it is, over the same windows as the Fisher information, gives the Hessian of every
// input. Of each matrix that reads it 128 rows, drawn in proportion to their Fisher information, are encoded
// in every candidate type both ways; the share is that of the sums of their errors. It is 1 for tensors that
// error feedback does not reach, and for types that are no block formats.
//
// Of tensors that stack experts, the 128 rows are those of the eight experts that most tokens pass, each
// tried with the Hessian of its own tokens; their errors are weighed by the numbers of these.
//
// Left out is that errors of earlier layers are corrected for: the walk has no quantized layers yet.
#pragma once

#include <span>
#include <vector>

#include "artifacts/calibration_statistics.h"
#include "artifacts/sensitivity.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "pipeline/feedback_shares.h"
#include "pipeline/feedback_walk.h"
#include "pipeline/sensitivity.h"
#include "pipeline/text_walk_job.h"

namespace tessera::pipeline {

/// Rows are drawn by the row sums of `marginals`, evenly where it lacks the tensor. Kept in the cache. Does
/// not depend on the number of threads. Throws UsageError, BadFileError (also for a model that the forward
/// pass does not know), IoError, InterruptedError.
FeedbackShares feedback_shares(const TextWalkJob& job, const FeedbackSettings& settings,
                               std::span<const TensorCandidates> candidates,
                               const CalibrationStatistics& marginals, ProgressObserver& progress,
                               const StopFlag& stop);

/// The losses times the shares of the same candidates. Tensors that are not among these keep theirs.
Sensitivity with_feedback(Sensitivity plain, const WeightSource& source,
                          std::span<const TensorCandidates> candidates, const FeedbackShares& shares);

}  // namespace tessera::pipeline
