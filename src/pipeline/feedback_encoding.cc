#include "pipeline/feedback_encoding.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "foundation/base/printable.h"

namespace tessera::pipeline {

FeedbackEncoding::FeedbackEncoding(const FeedbackJob& job, const FeedbackSettings& settings,
                                   model::PairedPass& pass, ProgressObserver& progress, const StopFlag& stop)
    : job_(job),
      settings_(settings),
      pass_(pass),
      progress_(progress),
      stop_(stop),
      wanted_(feedback_tensors(job.plan)) {}

bool FeedbackEncoding::wants(const std::vector<std::size_t>& tensors) const {
  return std::ranges::any_of(tensors, [&](std::size_t tensor) { return wanted_[tensor]; });
}

stages::MomentSums FeedbackEncoding::sums_for(const std::vector<std::size_t>& tensors) const {
  return {job_.plan.tensors[tensors.front()].source.columns(),
          {.drift = settings_.sequential, .threads = job_.walks.threads}};
}

InputMoments FeedbackEncoding::means_of(stages::MomentSums& sums, const FeedbackReaders& readers) {
  HessianPlace place{.readers = {}, .experts = readers.experts, .is_shared = readers.shares_moments};
  for (const std::size_t tensor : readers.tensors)
    place.readers.push_back(job_.plan.tensors[tensor].source.name);
  auto moments = means_.measure([&] { return sums.take(job_.walks.path.string(), place.readers); });
  if (settings_.keep_hessians) keep_hessian(*settings_.keep_hessians, place, moments);
  return moments;
}

void FeedbackEncoding::encode(stages::MomentSums& sums, const FeedbackReaders& readers) {
  std::vector<stages::FeedbackRows> parts;
  std::uint64_t rows = 0;
  for (const std::size_t tensor : readers.tensors) {
    if (!wanted_[tensor]) continue;
    for (const auto& range : parts_of(tensor, readers)) {
      parts.push_back({tensor, range});
      rows += range.count;
    }
  }
  auto moments = means_of(sums, readers);
  const auto encoder = factors_.measure([&] {
    return stages::FeedbackEncoder(std::move(moments), rows, encode_settings(job_.walks, settings_));
  });
  for (const auto& part : parts) outcomes_[part.tensor] += encode_part(encoder, part);
  if (!readers.shares_moments) return;
  for (const std::size_t tensor : readers.tensors) {
    if (wanted_[tensor])
      outcomes_[tensor].shared_experts.assign(readers.experts.begin(), readers.experts.end());
  }
}

std::vector<RowRange> FeedbackEncoding::parts_of(std::size_t tensor, const FeedbackReaders& readers) const {
  const auto& source = job_.plan.tensors[tensor].source;
  if (readers.experts.empty()) return {{0, source.rows()}};
  std::vector<RowRange> parts;
  const std::uint64_t rows = source.rows_per_matrix();
  for (const std::uint32_t expert : readers.experts) parts.push_back({expert * rows, rows});
  return parts;
}

FeedbackOutcome FeedbackEncoding::encode_part(const stages::FeedbackEncoder& encoder,
                                              const stages::FeedbackRows& part) {
  const auto& planned = job_.plan.tensors[part.tensor];
  const std::uint64_t columns = planned.source.columns();
  const bool is_read_on = settings_.sequential && planned.place.layer.has_value();
  std::vector<float> decoded(is_read_on ? part.rows.count * columns : 0);
  const auto sink = [&](const stages::EncodedRows& rows) {
    job_.sink.write_rows(part.tensor, rows.rows.first, rows.blocks);
    if (!is_read_on) return;
    std::ranges::copy(rows.decoded, decoded.begin() + static_cast<std::ptrdiff_t>(
                                                          (rows.rows.first - part.rows.first) * columns));
  };
  auto outcome = encoding_.measure(
      [&] { return encoder.encode(*job_.walks.model.weights, part, planned.target, sink, stop_); });
  if (is_read_on) replace(part, decoded);
  return outcome;
}

void FeedbackEncoding::replace(const stages::FeedbackRows& part, std::span<const float> decoded) {
  const auto& source = job_.plan.tensors[part.tensor].source;
  if (source.shape.size() == 2) return pass_.replace(part.tensor, decoded);
  pass_.replace_expert(part.tensor, part.rows.first / source.rows_per_matrix(), decoded);
}

void FeedbackEncoding::finish(std::size_t tensor) {
  if (!wanted_[tensor]) return;
  const auto& planned = job_.plan.tensors[tensor];
  const auto& outcome = outcomes_.at(tensor);
  const auto name = printable(planned.source.name);
  if (outcome.damping > settings_.damping * 1.5) {
    progress_.warn(fmt::format(
        "{}: its inputs on the calibration text depend on each other so much that their Hessian needed a "
        "damping of {:g} instead of {:g}; more or other text helps",
        name, outcome.damping, settings_.damping));
  }
  const auto shared = outcome.shared_experts.empty()
                          ? std::string()
                          : fmt::format("; statistics of all experts for {} of {}",
                                        outcome.shared_experts.size(), planned.source.shape.front());
  progress_.item_done(fmt::format("{}: {} -> {}, output error {:.3f} of that without feedback{}", name,
                                  name_of(planned.source.type), name_of(planned.target), outcome.ratio(),
                                  shared));
  job_.tensor_done(tensor, outcome);
}

std::vector<StepTime> FeedbackEncoding::times() const {
  return {{"feedback: forward, both streams", forward_.seconds() - moments_.seconds()},
          {"feedback: second moments", moments_.seconds() + means_.seconds()},
          {"feedback: factorization", factors_.seconds()},
          {"feedback: encoding", encoding_.seconds()}};
}

}  // namespace tessera::pipeline
