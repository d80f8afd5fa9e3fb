#include "pipeline/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/cache_folder.h"
#include "pipeline/calibration_walk.h"
#include "pipeline/kept_walk.h"
#include "pipeline/measured_loss.h"
#include "pipeline/result_cache.h"
#include "stages/sample_errors.h"

namespace tessera::pipeline {
namespace {

/// A probe has about this many bits per weight: its loss must stand out from rounding, and the estimate for
/// other types reaches less far from the middle.
constexpr double kProbeBits = 2.6;

CalibrationStatistics walk_for_marginals(const TextWalkJob& job, const model::CorpusSettings& corpus,
                                         const CheckpointIdentity& identity, ProgressObserver& progress,
                                         const StopFlag& stop) {
  const auto config = model::read_decoder_config(job.model);
  const auto windows = windows_of(job, corpus, progress);
  model::ForwardPass pass(*job.model.weights, config, {windows.tokens, windows.context},
                          forward_settings(job));
  WalkSettings walk_settings{.method = ImportanceMethod::fisher,
                             .process_output = true,
                             .fisher = {},
                             .marginals = true,
                             .labels = {model::LossLabels::sampled, job.settings.seed}};
  return with_checkpoint(job, identity, [&](WalkCheckpoint& checkpoint) {
    LayerProgress layers("sensitivities", progress);
    add_walk(pass, walk_settings, layers);
    layers.begin();
    auto statistics = walk(pass, walk_settings, checkpoint, layers, stop);
    layers.end();
    return statistics;
  });
}

stages::SampleSettings sample_settings(const TextWalkJob& job) {
  return {.seed = job.settings.seed, .threads = job.threads, .encoder = job.encoder};
}

Sensitivity to_sensitivity(SensitivityMethod method, const WeightSource& source,
                           std::span<const stages::SampledTensor> sampled,
                           std::span<const std::vector<double>> losses) {
  Sensitivity sensitivity{method, {}};
  for (std::size_t i = 0; i < sampled.size(); ++i) {
    TensorSensitivity tensor{source.tensors()[sampled[i].tensor].name, {}};
    for (std::size_t t = 0; t < sampled[i].types.size(); ++t)
      tensor.candidates.push_back({sampled[i].types[t], losses[i][t]});
    sensitivity.tensors.push_back(std::move(tensor));
  }
  return sensitivity;
}

ElementType probe_type(const std::vector<ElementType>& types) {
  return *std::ranges::min_element(
      types, {}, [](ElementType type) { return std::abs(info(type).bits_per_weight() - kProbeBits); });
}

}  // namespace

CalibrationStatistics fisher_marginals(const TextWalkJob& job, ProgressObserver& progress,
                                       const StopFlag& stop) {
  const auto corpus = first_windows(job, job.settings.sensitivity_samples);
  const auto identity = identity_of_walk(job, corpus, "marginals", progress, stop);
  ResultCache cache(job.settings.use_cache ? default_cache_folder() : std::nullopt, progress);
  const auto key = result_key(identity);
  if (const auto cached = cache.find(key)) {
    if (auto statistics = calibration_statistics_from(cached->bytes())) return std::move(*statistics);
  }
  auto statistics = walk_for_marginals(job, corpus, identity, progress, stop);
  cache.store(key, to_bytes(statistics));
  return statistics;
}

Sensitivity predict_losses(const TextWalkJob& job, std::span<const TensorCandidates> candidates,
                           const CalibrationStatistics& marginals, ProgressObserver& progress,
                           const StopFlag& stop) {
  const WeightSource& source = *job.model.weights;
  std::vector<stages::SampledTensor> sampled;
  std::vector<double> tokens;
  for (const auto& candidate : candidates) {
    const auto found = marginals.find(source.tensors()[candidate.tensor].name);
    if (found == marginals.end()) continue;
    sampled.push_back({candidate.tensor, candidate.types, found->second.row_sums, found->second.sums,
                       candidate.importance});
    tokens.push_back(static_cast<double>(found->second.counts.front()));
  }
  auto errors = stages::sample_errors(source, sampled, sample_settings(job), progress, stop);
  // The diagonal is taken for the product of its marginals, r_i c_j / R; with rows drawn by r_i / R what is
  // left is the mean of c_j errors, per token, and the half of the second-order term.
  for (std::size_t i = 0; i < errors.size(); ++i)
    for (double& error : errors[i]) error /= 2 * tokens[i];
  return to_sensitivity(SensitivityMethod::fisher, source, sampled, errors);
}

Sensitivity measure_sensitivity(const TextWalkJob& job, std::span<const TensorCandidates> candidates,
                                ProgressObserver& progress, const StopFlag& stop) {
  const WeightSource& source = *job.model.weights;
  std::vector<Probe> probes;
  std::vector<stages::SampledTensor> sampled;
  std::vector<std::vector<double>> columns(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto& candidate = candidates[i];
    if (candidate.importance != nullptr) {
      const auto importance = candidate.importance->entry.importance(0);
      columns[i].assign(importance.begin(), importance.end());
    }
    sampled.push_back({candidate.tensor, candidate.types, {}, columns[i], candidate.importance});
    probes.push_back({candidate.tensor, probe_type(candidate.types), candidate.importance});
  }
  auto losses = stages::sample_errors(source, sampled, sample_settings(job), progress, stop);
  const auto config = model::read_decoder_config(job.model);
  const auto corpus = first_windows(job, job.settings.measured_samples);
  const auto windows = windows_of(job, corpus, progress);
  auto identity = identity_of_walk(job, corpus, "measured", progress, stop);
  for (const auto& probe : probes)
    identity.options += fmt::format(" {}={}", probe.tensor, name_of(probe.type));
  const auto measured = with_checkpoint(job, identity, [&](WalkCheckpoint& checkpoint) {
    return measure_losses(source, config, {windows.tokens, windows.context}, probes,
                          {forward_settings(job), job.encoder}, checkpoint, progress, stop);
  });
  for (std::size_t i = 0; i < probes.size(); ++i) {
    const auto& types = sampled[i].types;
    const auto probe = static_cast<std::size_t>(std::ranges::find(types, probes[i].type) - types.begin());
    const double error = losses[i][probe];
    for (double& loss : losses[i]) loss = error > 0 ? measured[i] * loss / error : 0;
  }
  return to_sensitivity(SensitivityMethod::measured, source, sampled, losses);
}

}  // namespace tessera::pipeline
