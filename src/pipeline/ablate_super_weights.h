// Proof of super weights: what becomes of the model's predictions without them, compared with what becomes of
// them without other weights, and in a low-bit model with the found ones kept exact.
//
// Each notion that found weights has five variants, each on its own: the found set to 0; as many random ones
// set to 0, and ten times as many, of all matrices that may be quantized but not of the found; as many of the
// largest by magnitude set to 0, likewise; and a low-bit model with the found weights as they were. Beside
// them stands that low-bit model as it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/super_weight.h"
#include "artifacts/token_score.h"
#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"
#include "pipeline/text_walk_job.h"

namespace tessera::pipeline {

struct AblationSettings {
  model::CorpusSettings evaluation = {};  ///< texts that the variants are evaluated on
  std::string type = "IQ2_XXS";           ///< of the low-bit model: as QuantizeSettings::type
  /// Of the low-bit model; empty: computed from the job's texts.
  std::optional<std::filesystem::path> imatrix = std::nullopt;
  std::uint64_t seed = 0;  ///< of the random weights
};

/// One variant of the model.
struct AblatedModel {
  std::string variant;
  std::uint64_t weights = 0;  ///< that differ from the model, or from the low-bit one
  Estimate perplexity;
  Estimate kl_divergence;  ///< mean, of the model's predictions from the variant's, in nats per token
};

struct Ablation {
  Estimate perplexity;  ///< of the model as it is
  std::vector<AblatedModel> variants;
};

/// Throws UsageError (no text to evaluate on, a list without weights), BadFileError, IoError,
/// InterruptedError.
Ablation ablate_super_weights(const TextWalkJob& job, const SuperWeightList& list,
                              const AblationSettings& settings, ProgressObserver& progress,
                              const StopFlag& stop);

nlohmann::json to_json(const Ablation& ablation);

}  // namespace tessera::pipeline
