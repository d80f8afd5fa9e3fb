#include "pipeline/feedback_losses.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <string_view>

#include "foundation/base/content_hash.h"
#include "foundation/base/counter_random.h"
#include "foundation/base/error.h"
#include "foundation/codecs/feedback.h"
#include "model/forward/decoder_config.h"
#include "model/forward/paired_pass.h"
#include "pipeline/cache_folder.h"
#include "pipeline/kept_walk.h"
#include "pipeline/layer_progress.h"
#include "pipeline/result_cache.h"
#include "stages/gather_moments.h"
#include "stages/sample_errors.h"

namespace tessera::pipeline {
namespace {

constexpr const char* kHidden = "hidden";
constexpr const char* kShares = "shares";

/// As many as are encoded together: fewer would cost the same.
constexpr std::size_t kSampledRows = codecs::kFeedbackRows;
/// Experts of a layer that are tried: those that most tokens pass.
constexpr std::size_t kTriedExperts = 8;
/// Of the seeded draws: sample_errors takes 0 and 1.
constexpr std::uint64_t kRowDraw = 2;

/// Settings and candidates, which decide the shares beside the walk. Sequential correction is not among them.
std::string options_of(const FeedbackSettings& settings, std::span<const TensorCandidates> candidates) {
  ContentHasher hasher;
  for (const auto& candidate : candidates) {
    hasher.add_field(std::to_string(candidate.tensor));
    hasher.add_field(std::to_string(candidate.types.size()));
    for (const auto type : candidate.types) hasher.add_field(name_of(type));
  }
  return fmt::format(" sweeps={} damping={} rows={} candidates={}", settings.sweeps, settings.damping,
                     kSampledRows, hasher.hash().text());
}

class ShareWalk {
 public:
  ShareWalk(const TextWalkJob& job, const FeedbackSettings& settings,
            std::span<const TensorCandidates> candidates, const CalibrationStatistics& marginals,
            const model::TokenWindows& windows, const StopFlag& stop)
      : job_(job),
        settings_(settings),
        candidates_(candidates),
        marginals_(marginals),
        stop_(stop),
        source_(*job.model.weights),
        config_(model::read_decoder_config(job.model)),
        pass_(source_, config_, {windows.tokens, windows.context},
              {.forward = forward_settings(job), .sequential = false}),
        shares_(all_plain_shares(candidates)) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (is_reached_by_feedback(source_.tensors()[candidates[i].tensor]))
        candidate_of_[candidates[i].tensor] = i;
    }
  }

  FeedbackShares run(WalkCheckpoint& checkpoint, ProgressObserver& progress) {
    LayerProgress layers("feedback losses", progress);
    layers.add(pass_.loader(), config_.layers);
    layers.begin();
    layers.walk(pass_.loader(), start(checkpoint), config_.layers,
                [&](std::uint32_t layer, const model::WindowsDone& done) {
                  run_layer(layer, done);
                  keep(layer + 1, checkpoint);
                });
    find_shares({pass_.output_reader()},
                [&](const model::PairedRowsSink& sink) { pass_.show_output(sink, stop_); });
    layers.end();
    return std::move(shares_);
  }

 private:
  std::uint32_t start(const WalkCheckpoint& checkpoint) {
    const std::uint32_t finished = checkpoint.finished();
    if (finished == 0) {
      pass_.embed();
      return 0;
    }
    checkpoint.restore(kHidden, pass_.reference());
    if (!fill_shares(checkpoint.blob(kShares), shares_)) {
      throw BadFileError({.file = (*job_.settings.checkpoint / kShares).string()},
                         "it is not of this run; remove the folder");
    }
    return finished;
  }

  void keep(std::uint32_t layers, WalkCheckpoint& checkpoint) {
    const auto values = flat_shares(shares_);
    checkpoint.keep(kHidden, pass_.reference());
    checkpoint.keep(kShares, std::as_bytes(std::span(values)));
    checkpoint.commit(layers, {kHidden, kShares});
  }

  void run_layer(std::uint32_t layer, const model::WindowsDone& done) {
    pass_.begin_layer(layer);
    std::size_t steps = 0;
    for (const auto input : model::kLayerInputs) {
      find_shares(pass_.readers(input),
                  [&](const model::PairedRowsSink& sink) { pass_.show(input, sink, stop_); });
      done(++steps, model::kLayerInputs.size());
    }
    if (config_.mixture) {
      for (const auto input : model::kExpertInputs) find_expert_shares(input);
    }
    pass_.end_layer(stop_);
  }

  /// Of the tensors that read the input which `show` shows.
  template <class Show>
  void find_shares(const std::vector<std::size_t>& readers, const Show& show) {
    const auto wanted = wanted_of(readers);
    if (wanted.empty()) return show({});
    TrialSums sums;
    std::vector<std::vector<std::uint64_t>> rows;
    for (const std::size_t index : wanted) {
      const std::size_t tensor = candidates_[index].tensor;
      rows.push_back(drawn_rows(tensor, {0, source_.tensors()[tensor].rows()}, kSampledRows));
    }
    try_types(encoder_for(wanted, show), wanted, rows, 1, sums);
    set_shares(sums);
  }

  /// Of the tensors that stack the experts: from some experts, weighed by the tokens that pass them.
  void find_expert_shares(model::LayerInput input) {
    const auto wanted = wanted_of(pass_.expert_readers(input));
    if (wanted.empty()) return;
    const auto tokens = pass_.expert_tokens();
    const auto experts = most_passed(tokens);
    TrialSums sums;
    for (const std::size_t expert : experts) {
      std::vector<std::vector<std::uint64_t>> rows;
      for (const std::size_t index : wanted) {
        const std::size_t tensor = candidates_[index].tensor;
        const std::uint64_t count = source_.tensors()[tensor].rows_per_matrix();
        rows.push_back(drawn_rows(tensor, {expert * count, count}, kSampledRows / experts.size()));
      }
      const auto encoder = encoder_for(
          wanted, [&](const model::PairedRowsSink& sink) { pass_.show_expert(input, expert, sink, stop_); });
      try_types(encoder, wanted, rows, static_cast<double>(tokens[expert]), sums);
    }
    set_shares(sums);
  }

  /// The experts that most tokens pass, and some do, by falling tokens.
  static std::vector<std::size_t> most_passed(std::span<const std::uint64_t> tokens) {
    std::vector<std::size_t> experts(tokens.size());
    std::iota(experts.begin(), experts.end(), std::size_t{0});
    std::ranges::stable_sort(experts, std::greater(), [&](std::size_t expert) { return tokens[expert]; });
    const auto passed = std::ranges::count_if(tokens, [](std::uint64_t count) { return count > 0; });
    experts.resize(std::min(static_cast<std::size_t>(passed), kTriedExperts));
    return experts;
  }

  /// Candidates among the tensors, by index.
  std::vector<std::size_t> wanted_of(const std::vector<std::size_t>& readers) const {
    std::vector<std::size_t> wanted;
    for (const std::size_t tensor : readers) {
      const auto found = candidate_of_.find(tensor);
      if (found != candidate_of_.end()) wanted.push_back(found->second);
    }
    return wanted;
  }

  template <class Show>
  stages::FeedbackEncoder encoder_for(std::span<const std::size_t> wanted, const Show& show) {
    std::vector<std::string> names;
    for (const std::size_t index : wanted) names.push_back(source_.tensors()[candidates_[index].tensor].name);
    stages::MomentSums sums(source_.tensors()[candidates_[wanted.front()].tensor].columns(),
                            {.drift = false, .threads = job_.threads});
    show([&](const model::PairedRows& rows) { sums.add(rows); });
    return {sums.take(job_.path.string(), names), 0, encode_settings(job_, settings_)};
  }

  /// Errors of both encodings, by the share that they make.
  struct TrialSum {
    double error = 0;
    double plain_error = 0;
  };
  using TrialSums = std::map<double*, TrialSum>;

  /// Adds the errors of all types of the candidates on their rows, times `weight`.
  void try_types(const stages::FeedbackEncoder& encoder, std::span<const std::size_t> wanted,
                 std::span<const std::vector<std::uint64_t>> rows, double weight, TrialSums& sums) {
    std::vector<stages::FeedbackTrial> trials;
    std::vector<double*> shares;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const auto& candidate = candidates_[wanted[i]];
      for (std::size_t t = 0; t < candidate.types.size(); ++t) {
        const auto type = candidate.types[t];
        const bool is_copied = type == source_.tensors()[candidate.tensor].type;
        if (rows[i].empty() || is_copied || !info(type).quantized) continue;
        trials.push_back({candidate.tensor, rows[i], type});
        shares.push_back(&shares_[wanted[i]][t]);
      }
    }
    const auto outcomes = encoder.try_rows(source_, trials, stop_);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      sums[shares[i]].error += weight * outcomes[i].output_error;
      sums[shares[i]].plain_error += weight * outcomes[i].plain_output_error;
    }
  }

  static void set_shares(const TrialSums& sums) {
    // Never above 1; next to nothing, what the damping adds to the errors is subtracted from as much.
    for (const auto& [share, sum] : sums)
      *share = sum.plain_error > 0 ? std::clamp(sum.error / sum.plain_error, 0.0, 1.0) : 1;
  }

  /// Among the rows `range` of the tensor; empty where none of them is sensitive.
  std::vector<std::uint64_t> drawn_rows(std::size_t tensor, const RowRange& range, std::size_t draws) const {
    const auto found = marginals_.find(source_.tensors()[tensor].name);
    const auto weights = found == marginals_.end()
                             ? std::span<const double>()
                             : std::span(found->second.row_sums).subspan(range.first, range.count);
    auto rows = stages::draw_in_proportion(range.count, weights, draws,
                                           uniform_at(job_.settings.seed, tensor, kRowDraw));
    for (auto& row : rows) row += range.first;
    return rows;
  }

  const TextWalkJob& job_;
  const FeedbackSettings& settings_;
  std::span<const TensorCandidates> candidates_;
  const CalibrationStatistics& marginals_;
  const StopFlag& stop_;
  const WeightSource& source_;
  model::DecoderConfig config_;
  model::PairedPass pass_;
  std::map<std::size_t, std::size_t> candidate_of_;  ///< by tensor, of those that feedback reaches
  FeedbackShares shares_;
};

}  // namespace

FeedbackShares feedback_shares(const TextWalkJob& job, const FeedbackSettings& settings,
                               std::span<const TensorCandidates> candidates,
                               const CalibrationStatistics& marginals, ProgressObserver& progress,
                               const StopFlag& stop) {
  const auto corpus = first_windows(job, job.settings.sensitivity_samples);
  auto identity = identity_of_walk(job, corpus, "feedback", progress, stop);
  identity.options += options_of(settings, candidates);
  ResultCache cache(job.settings.use_cache ? default_cache_folder() : std::nullopt, progress);
  const auto key = result_key(identity);
  if (const auto cached = cache.find(key)) {
    auto shares = all_plain_shares(candidates);
    if (fill_shares(cached->bytes(), shares)) return shares;
  }
  const auto windows = windows_of(job, corpus, progress);
  auto shares = with_checkpoint(job, identity, [&](WalkCheckpoint& checkpoint) {
    return ShareWalk(job, settings, candidates, marginals, windows, stop).run(checkpoint, progress);
  });
  const auto values = flat_shares(shares);
  cache.store(key, std::as_bytes(std::span(values)));
  return shares;
}

Sensitivity with_feedback(Sensitivity plain, const WeightSource& source,
                          std::span<const TensorCandidates> candidates, const FeedbackShares& shares) {
  std::map<std::string_view, std::size_t> candidate_of;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    candidate_of[source.tensors()[candidates[i].tensor].name] = i;
  for (auto& tensor : plain.tensors) {
    const auto found = candidate_of.find(tensor.tensor);
    if (found == candidate_of.end()) continue;
    const auto& types = candidates[found->second].types;
    for (auto& candidate : tensor.candidates) {
      const auto type = std::ranges::find(types, candidate.type);
      if (type != types.end())
        candidate.loss *= shares[found->second][static_cast<std::size_t>(type - types.begin())];
    }
  }
  plain.with_feedback = true;
  return plain;
}

}  // namespace tessera::pipeline
