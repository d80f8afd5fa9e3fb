#include "pipeline/text_walks.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "foundation/base/temporary_folder.h"
#include "foundation/kernels/gemm.h"
#include "model/architecture/kept_tensors.h"
#include "model/forward/decoder_config.h"
#include "pipeline/cache_folder.h"
#include "pipeline/imatrix.h"
#include "pipeline/sensitivity.h"

namespace tessera::pipeline {

imatrix::ImatrixFile importance_of_texts(const TextWalkJob& job, std::vector<StepTime>& times,
                                         ProgressObserver& progress, const StopFlag& stop) {
  const auto& settings = job.settings;
  const TemporaryFolder folder;
  ImatrixSettings walk{.model = job.path,
                       .output = folder.path() / "imatrix.gguf",
                       .open = job.open,
                       .corpus = settings.corpus};
  walk.process_output = true;
  walk.use_cache = settings.use_cache;
  walk.precision = settings.precision;
  walk.threads = job.threads;
  walk.memory_bytes = settings.memory_bytes;
  walk.scratch_folder = settings.scratch_folder;
  if (settings.checkpoint) {
    FileHashes hashes({default_cache_folder(), job.threads}, progress, stop);
    walk.checkpoint = *settings.checkpoint / result_key(identity_of(walk, hashes)).text();
  }
  return timed(times, "importance matrix", [&] { return make_imatrix(walk, progress, stop).matrix; });
}

std::optional<std::string> obstacle_to_walks(const model::OpenedModel& model) {
  try {
    model::read_decoder_config(model);
    return std::nullopt;
  } catch (const BadFileError& error) {
    return error.what();
  }
}

std::optional<std::string> obstacle_to_gradients(const model::OpenedModel& model) {
  if (auto obstacle = obstacle_to_walks(model)) return obstacle;
  if (!model::read_decoder_config(model).mixture) return std::nullopt;
  return "gradients are not taken through mixtures of experts (--sensitivity measured does without them)";
}

std::string text_of(const TextWalkSettings& settings) {
  const auto& corpus = settings.corpus;
  std::string text =
      fmt::format("ctx={} samples={} sampling={} seed={} field={} special={} sensitivity={} bf16={}",
                  corpus.context, corpus.samples, static_cast<int>(corpus.sampling), corpus.seed,
                  corpus.field, corpus.parse_special, settings.sensitivity_samples,
                  kernels::resolve_precision(settings.precision) == kernels::Precision::bf16);
  for (const auto& file : corpus.files) text += fmt::format(" {}={}", file.path.string(), file.weight);
  return text;
}

CalibrationStatistics marginals_of_texts(const TextWalkJob& job, std::vector<StepTime>& times,
                                         ProgressObserver& progress, const StopFlag& stop) {
  return timed(times, "backward walk", [&] { return fisher_marginals(job, progress, stop); });
}

void fill_importance(const WeightSource& weights, const CalibrationStatistics& marginals,
                     PlanImportance& importance) {
  importance.tensors.resize(weights.tensors().size());
  for (std::size_t i = 0; i < importance.tensors.size(); ++i) {
    const auto& tensor = weights.tensors()[i];
    const auto found = marginals.find(tensor.name);
    if (importance.tensors[i] || found == marginals.end() || !model::may_be_quantized(tensor)) continue;
    importance.tensors[i].emplace();
    importance.tensors[i]->entry = {.columns = found->second.sums.size(),
                                    .sums = {found->second.sums.begin(), found->second.sums.end()},
                                    .counts = found->second.counts};
  }
}

}  // namespace tessera::pipeline
