// What a quantization run takes from texts: the importance of columns, and the Fisher information behind
// sensitivities. Each is one walk through the model, cached, with checkpoints.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "artifacts/calibration_statistics.h"
#include "artifacts/importance_matrix.h"
#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "model/source/open_model.h"
#include "pipeline/step_times.h"
#include "pipeline/text_walk_job.h"

namespace tessera::pipeline {

/// What stands for the importance matrix's file name where it was computed from texts.
inline constexpr const char* kComputedImportance = "computed by tessera from the texts";

/// The importance matrix of the texts, with statistics of the output matrix. Throws as make_imatrix.
imatrix::ImatrixFile importance_of_texts(const TextWalkJob& job, std::vector<StepTime>& times,
                                         ProgressObserver& progress, const StopFlag& stop);

/// Why the model cannot be walked, as a message; empty when it can.
std::optional<std::string> obstacle_to_walks(const model::OpenedModel& model);

/// The same of walks back.
std::optional<std::string> obstacle_to_gradients(const model::OpenedModel& model);

/// Every setting that decides the results, beside the content of the texts, as one line.
std::string text_of(const TextWalkSettings& settings);

/// fisher_marginals of the texts.
CalibrationStatistics marginals_of_texts(const TextWalkJob& job, std::vector<StepTime>& times,
                                         ProgressObserver& progress, const StopFlag& stop);

/// Matrices of the model that the importance matrix does not know (the token embedding, and in those of other
/// programs the output) get the column sums of the Fisher information for importance.
void fill_importance(const WeightSource& weights, const CalibrationStatistics& marginals,
                     PlanImportance& importance);

}  // namespace tessera::pipeline
