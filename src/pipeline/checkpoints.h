// Keeps a quantization run resumable: remembers finished tensors, makes them durable from time to time, and
// finds what an earlier run has left.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "foundation/base/progress.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "pipeline/quantize_journal.h"

namespace tessera::pipeline {

struct CheckpointSettings {
  /// Go on from what an interrupted run of the same job left; false starts over.
  bool resume = true;
  /// Least time between two checkpoints. Each waits for the disk; a killed run repeats at most this much
  /// work.
  std::chrono::milliseconds interval = std::chrono::seconds(5);
};

class Checkpoints {
 public:
  /// `files` are the outputs with their sizes, the first one gives the journal its name; `fingerprint` stands
  /// for everything that decides their bytes.
  Checkpoints(const std::vector<gguf::PlannedFile>& files, std::uint64_t fingerprint,
              std::size_t tensor_count, const CheckpointSettings& settings, ProgressObserver& progress);

  /// Whether partial files of an earlier run are to be reopened.
  bool resumes() const { return resumes_; }
  const FinishedTensors& finished() const { return finished_; }

  /// Takes note of a finished tensor; makes all of them durable when it is time.
  void record(std::size_t tensor, const EncodingError& error, gguf::ResumableSink& sink);
  /// Makes all finished tensors durable now. Without any, nothing will stay behind.
  void save(gguf::ResumableSink& sink);
  /// Removes every trace: the run is done, or failed for good.
  void clear() { remove_journal(journal_); }

  std::size_t finished_count() const;

 private:
  void find_earlier_run(const std::vector<gguf::PlannedFile>& files, ProgressObserver& progress);

  std::filesystem::path journal_;
  std::uint64_t fingerprint_;
  CheckpointSettings settings_;
  FinishedTensors finished_;
  bool resumes_ = false;
  std::chrono::steady_clock::time_point last_saved_ = std::chrono::steady_clock::now();
};

}  // namespace tessera::pipeline
