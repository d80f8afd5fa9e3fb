#include "pipeline/kept_walk.h"

#include "pipeline/cache_folder.h"
#include "pipeline/file_hashes.h"

namespace tessera::pipeline {

CheckpointIdentity identity_of_walk(const TextWalkJob& job, const model::CorpusSettings& corpus,
                                    const std::string& purpose, ProgressObserver& progress,
                                    const StopFlag& stop) {
  FileHashes hashes({default_cache_folder(), job.threads}, progress, stop);
  ImatrixSettings walk{.model = job.path, .output = {}, .open = job.open, .corpus = corpus};
  walk.method = ImportanceMethod::fisher;
  walk.process_output = true;
  walk.precision = job.settings.precision;
  auto identity = identity_of(walk, hashes);
  identity.options += fmt::format(" purpose={} label-seed={}", purpose, job.settings.seed);
  return identity;
}

}  // namespace tessera::pipeline
