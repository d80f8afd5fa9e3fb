#include "pipeline/encode_output.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "pipeline/walk_checkpoint.h"

namespace tessera::pipeline {
namespace {

/// Residual streams are written to the disk after so many times the interval of finished tensors: they are
/// some ten times the bytes.
constexpr int kWalkIntervals = 4;

class OutputEncoder {
 public:
  OutputEncoder(const EncodeOutputJob& job, QuantizeReport& report, ProgressObserver& progress,
                const StopFlag& stop)
      : job_(job),
        report_(report),
        progress_(progress),
        stop_(stop),
        by_feedback_(report.plan.tensors.size()),
        checkpoints_(report.files, job.fingerprint, report.plan.tensors.size(), job.settings.checkpoints,
                     progress) {
    if (job.settings.feedback) by_feedback_ = feedback_tensors(report.plan);
    auto write = job.settings.write;
    write.reopen = checkpoints_.resumes();
    sink_ = gguf::create_gguf(job.settings.output, job.metadata, outputs_of(report.plan), write);
  }

  void run() {
    try {
      encode_plainly();
      if (job_.settings.feedback) walk();
      sink_->commit();
      checkpoints_.clear();
    } catch (const InterruptedError&) {
      checkpoints_.save(*sink_);
      throw InterruptedError(
          fmt::format("interrupted; {} of {} tensors are finished, the same command goes on from there",
                      checkpoints_.finished_count(), report_.plan.tensors.size()));
    } catch (...) {
      sink_->abandon();
      checkpoints_.clear();
      throw;
    }
  }

 private:
  void encode_plainly() {
    auto finished = checkpoints_.finished();
    for (std::size_t i = 0; i < finished.size(); ++i) {
      if (by_feedback_[i]) finished[i].emplace();
    }
    const auto tensor_done = [&](std::size_t tensor, const EncodingError& error) {
      checkpoints_.record(tensor, error, *sink_);
    };
    report_.errors = stages::encode_tensors({*job_.walks.model.weights, report_.plan, report_.importance,
                                             *sink_, std::move(finished), job_.protection, tensor_done},
                                            job_.settings.encode, progress_, stop_);
  }

  void walk() {
    std::optional<LayerCheckpoint> folder;
    if (const auto& place = job_.walks.settings.checkpoint) {
      folder.emplace(*place / fmt::format("feedback-{:016x}", job_.fingerprint),
                     CheckpointIdentity{.model = job_.walks.path.string(),
                                        .data = {},
                                        .options = text_of(*job_.settings.feedback, job_.walks.model)});
      // Without the output's own journal there is nothing that the layers' tensors were written to.
      if (!checkpoints_.resumes()) folder->clear();
    }
    WalkCheckpoint checkpoint(folder ? &*folder : nullptr);
    const auto tensor_done = [&](std::size_t tensor, const FeedbackOutcome& outcome) {
      checkpoints_.record(tensor, outcome.error, *sink_);
    };
    report_.feedback = encode_with_feedback(
        {job_.walks, report_.plan, *sink_, checkpoint, kWalkIntervals * job_.settings.checkpoints.interval,
         tensor_done, [&] { checkpoints_.save(*sink_); }, report_.times},
        *job_.settings.feedback, progress_, stop_);
    for (const auto& [tensor, outcome] : report_.feedback) report_.errors[tensor] = outcome.error;
    if (folder) folder->clear();
  }

  const EncodeOutputJob& job_;
  QuantizeReport& report_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  std::vector<bool> by_feedback_;
  Checkpoints checkpoints_;
  std::unique_ptr<gguf::ResumableSink> sink_;
};

}  // namespace

void encode_output(const EncodeOutputJob& job, QuantizeReport& report, ProgressObserver& progress,
                   const StopFlag& stop) {
  OutputEncoder(job, report, progress, stop).run();
}

}  // namespace tessera::pipeline
