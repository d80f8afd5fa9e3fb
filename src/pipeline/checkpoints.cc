#include "pipeline/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>

#include "foundation/base/atomic_file.h"

namespace tessera::pipeline {
namespace {

bool is_left_partial(const gguf::PlannedFile& file) {
  std::error_code not_there;
  const auto size = std::filesystem::file_size(AtomicFile::temporary_path(file.path), not_there);
  return !not_there && size == file.bytes;
}

}  // namespace

Checkpoints::Checkpoints(const std::vector<gguf::PlannedFile>& files, std::uint64_t fingerprint,
                         std::size_t tensor_count, const CheckpointSettings& settings,
                         ProgressObserver& progress)
    : journal_(journal_path(files.front().path)),
      fingerprint_(fingerprint),
      settings_(settings),
      finished_(tensor_count) {
  if (settings.resume) find_earlier_run(files, progress);
  // From here on the partial files change: an old journal would vouch for what is no longer there.
  if (!resumes_) remove_journal(journal_);
}

void Checkpoints::find_earlier_run(const std::vector<gguf::PlannedFile>& files, ProgressObserver& progress) {
  std::error_code not_there;
  if (!std::filesystem::exists(journal_, not_there)) return;
  auto finished = read_journal(journal_, fingerprint_, finished_.size());
  if (!finished || !std::ranges::all_of(files, is_left_partial)) {
    progress.warn(
        fmt::format("{}: an unfinished run with other inputs, options or version is discarded; starting over",
                    files.front().path.string()));
    return;
  }
  finished_ = std::move(*finished);
  resumes_ = true;
  progress.note(fmt::format("going on from an interrupted run: {} of {} tensors are finished",
                            finished_count(), finished_.size()));
}

void Checkpoints::record(std::size_t tensor, const EncodingError& error, gguf::ResumableSink& sink) {
  finished_[tensor] = error;
  if (std::chrono::steady_clock::now() - last_saved_ >= settings_.interval) save(sink);
}

void Checkpoints::save(gguf::ResumableSink& sink) {
  if (finished_count() == 0) return;
  sink.checkpoint();
  write_journal(journal_, fingerprint_, finished_);
  last_saved_ = std::chrono::steady_clock::now();
}

std::size_t Checkpoints::finished_count() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(finished_, [](const auto& error) { return error.has_value(); }));
}

}  // namespace tessera::pipeline
