#include "pipeline/text_walk_job.h"

#include <algorithm>

#include "foundation/kernels/gemm.h"
#include "model/text/tokenizer.h"

namespace tessera::pipeline {

model::CorpusSettings first_windows(const TextWalkJob& job, std::uint32_t samples) {
  auto corpus = job.settings.corpus;
  corpus.samples = corpus.samples == 0 ? samples : std::min(corpus.samples, samples);
  return corpus;
}

model::ForwardSettings forward_settings(const TextWalkJob& job) {
  const auto& settings = job.settings;
  return {kernels::resolve_precision(settings.precision), job.threads, settings.memory_bytes,
          settings.scratch_folder};
}

model::TokenWindows windows_of(const TextWalkJob& job, const model::CorpusSettings& corpus,
                               ProgressObserver& progress) {
  const auto tokenizer = model::make_tokenizer(job.model.metadata, job.path.string());
  return model::read_windows(corpus, *tokenizer, progress);
}

}  // namespace tessera::pipeline
