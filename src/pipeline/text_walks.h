// What a quantization run takes from texts: the importance of columns, and the Fisher information behind
// sensitivities. Each is one walk through the model, cached, with checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/calibration_statistics.h"
#include "artifacts/importance_matrix.h"
#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "foundation/codecs/encoder.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/kernels/matrix.h"
#include "model/source/open_model.h"
#include "model/text/corpus.h"
#include "pipeline/sensitivity.h"
#include "pipeline/step_times.h"

namespace tessera::pipeline {

struct TextWalkSettings {
  model::CorpusSettings corpus = {};  ///< no files: there are no texts
  /// Windows of the texts that sensitivities are taken from; as many as there are when fewer. From 16 on more
  /// of them changed nothing on the models measured (docs/dynamic.md).
  std::uint32_t sensitivity_samples = 32;
  std::uint32_t measured_samples = 8;  ///< the same for the method measured
  std::uint64_t seed = 0;              ///< of sampled labels and rows
  /// Of the operands of matrix products; empty: the fastest of this machine.
  std::optional<kernels::Precision> precision = std::nullopt;
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;  ///< hidden states beyond this go to a scratch file
  std::filesystem::path scratch_folder = {};
  /// Folder in which finished layers of the walks are kept, each walk's in a folder of its own; empty: none.
  std::optional<std::filesystem::path> checkpoint = std::nullopt;
  bool use_cache = true;
};

/// The model that is walked, and how.
struct TextWalkJob {
  const std::filesystem::path& path;  ///< of the model, as given
  const model::OpenedModel& model;
  const model::OpenSettings& open;
  const TextWalkSettings& settings;
  codecs::EncoderKind encoder = codecs::EncoderKind::tessera;  ///< of sampled rows
  int threads = 0;

  bool has_texts() const { return !settings.corpus.files.empty(); }
};

/// What stands for the importance matrix's file name where it was computed from texts.
inline constexpr const char* kComputedImportance = "computed by tessera from the texts";

/// The importance matrix of the texts, with statistics of the output matrix. Throws as make_imatrix.
imatrix::ImatrixFile importance_of_texts(const TextWalkJob& job, std::vector<StepTime>& times,
                                         ProgressObserver& progress, const StopFlag& stop);

/// Why the model cannot be walked, as a message; empty when it can.
std::optional<std::string> obstacle_to_walks(const model::OpenedModel& model);

/// Every setting that decides the results, beside the content of the texts, as one line.
std::string text_of(const TextWalkSettings& settings);

/// Settings of sensitivities from at most `samples` windows.
SensitivitySettings sensitivity_settings(const TextWalkJob& job, std::uint32_t samples);

/// fisher_marginals of the texts.
CalibrationStatistics marginals_of_texts(const TextWalkJob& job, std::vector<StepTime>& times,
                                         ProgressObserver& progress, const StopFlag& stop);

/// Matrices of the model that the importance matrix does not know (the token embedding, and in those of other
/// programs the output) get the column sums of the Fisher information for importance.
void fill_importance(const WeightSource& weights, const CalibrationStatistics& marginals,
                     PlanImportance& importance);

}  // namespace tessera::pipeline
