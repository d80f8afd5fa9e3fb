// The steps that a walk with error feedback takes for every input of linears: its moments are gathered, the
// linears that read it are encoded from them and written, and from then on replaced in the pass.
//
//   if (encoding.wants(readers.tensors)) {
//     auto sums = encoding.sums_for(readers.tensors);
//     encoding.gather(sums, [&](const model::PairedRowsSink& sink) { pass.show(..., sink, ...); });
//     encoding.encode(sums, readers);
//   }
//   for (tensor : readers.tensors) encoding.finish(tensor);
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "artifacts/feedback_outcome.h"
#include "model/forward/paired_pass.h"
#include "pipeline/feedback_walk.h"
#include "pipeline/kept_hessians.h"
#include "pipeline/step_times.h"
#include "stages/encode_feedback.h"
#include "stages/gather_moments.h"

namespace tessera::pipeline {

/// Linears that read one input.
struct FeedbackReaders {
  std::vector<std::size_t> tensors;  ///< as numbered in the plan
  /// Of tensors that stack experts, which of their matrices are meant; empty for tensors that do not.
  std::vector<std::uint32_t> experts = {};
  bool shares_moments = false;  ///< the experts have too few tokens for moments of their own
};

class FeedbackEncoding {
 public:
  /// All outlive it.
  FeedbackEncoding(const FeedbackJob& job, const FeedbackSettings& settings, model::PairedPass& pass,
                   ProgressObserver& progress, const StopFlag& stop);

  /// Whether one of the tensors is to be encoded.
  bool wants(const std::vector<std::size_t>& tensors) const;

  /// Empty sums for an input of the tensors.
  stages::MomentSums sums_for(const std::vector<std::size_t>& tensors) const;
  /// Calls show(sink), a step of the pass, and adds up what it shows.
  template <class Show>
  void gather(stages::MomentSums& sums, const Show& show) {
    forward_.measure(
        [&] { show([&](const model::PairedRows& rows) { moments_.measure([&] { sums.add(rows); }); }); });
  }
  /// Runs a step of the pass that shows nothing.
  template <class Step>
  void pass_by(const Step& step) {
    forward_.measure(step);
  }

  /// Encodes the readers of an input from its moments, writes them, and replaces them in the pass where a
  /// layer reads them. What comes of the parts of a tensor adds up. Throws BadFileError, IoError.
  void encode(stages::MomentSums& sums, const FeedbackReaders& readers);
  /// Reports a tensor all of whose parts are encoded; one that is not to be encoded is passed over.
  void finish(std::size_t tensor);

  /// By index in the plan. May be filled with those of an earlier run.
  FeedbackOutcomes& outcomes() { return outcomes_; }
  /// Seconds of every step.
  std::vector<StepTime> times() const;

 private:
  InputMoments means_of(stages::MomentSums& sums, const FeedbackReaders& readers);
  std::vector<RowRange> parts_of(std::size_t tensor, const FeedbackReaders& readers) const;
  FeedbackOutcome encode_part(const stages::FeedbackEncoder& encoder, const stages::FeedbackRows& part);
  void replace(const stages::FeedbackRows& part, std::span<const float> decoded);

  const FeedbackJob& job_;
  const FeedbackSettings& settings_;
  model::PairedPass& pass_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  std::vector<bool> wanted_;
  FeedbackOutcomes outcomes_;
  Stopwatch forward_;  ///< with the moments taken in between
  Stopwatch moments_;
  Stopwatch means_;
  Stopwatch factors_;
  Stopwatch encoding_;
};

}  // namespace tessera::pipeline
