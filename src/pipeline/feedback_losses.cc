#include "pipeline/feedback_losses.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
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
/// Of the seeded draws: sample_errors takes 0 and 1.
constexpr std::uint64_t kRowDraw = 2;

FeedbackShares all_plain(std::span<const TensorCandidates> candidates) {
  FeedbackShares shares;
  for (const auto& candidate : candidates) shares.emplace_back(candidate.types.size(), 1.0);
  return shares;
}

std::vector<double> flat(const FeedbackShares& shares) {
  std::vector<double> values;
  for (const auto& of_tensor : shares) values.insert(values.end(), of_tensor.begin(), of_tensor.end());
  return values;
}

/// Fills shares of the right sizes from what flat() made; false when that is of another size.
bool fill(std::span<const std::byte> bytes, FeedbackShares& shares) {
  std::size_t size = 0;
  for (const auto& of_tensor : shares) size += of_tensor.size() * sizeof(double);
  if (bytes.size() != size) return false;
  for (auto& of_tensor : shares) {
    if (of_tensor.empty()) continue;
    std::memcpy(of_tensor.data(), bytes.data(), of_tensor.size() * sizeof(double));
    bytes = bytes.subspan(of_tensor.size() * sizeof(double));
  }
  return true;
}

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
        shares_(all_plain(candidates)) {
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
    if (!fill(checkpoint.blob(kShares), shares_)) {
      throw BadFileError({.file = (*job_.settings.checkpoint / kShares).string()},
                         "it is not of this run; remove the folder");
    }
    return finished;
  }

  void keep(std::uint32_t layers, WalkCheckpoint& checkpoint) {
    const auto values = flat(shares_);
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
    pass_.end_layer(stop_);
  }

  /// Of the tensors that read the input which `show` shows.
  template <class Show>
  void find_shares(const std::vector<std::size_t>& readers, const Show& show) {
    std::vector<std::size_t> wanted;
    std::vector<std::string> names;
    for (const std::size_t tensor : readers) {
      const auto found = candidate_of_.find(tensor);
      if (found == candidate_of_.end()) continue;
      wanted.push_back(found->second);
      names.push_back(source_.tensors()[tensor].name);
    }
    if (wanted.empty()) return show({});
    stages::MomentSums sums(source_.tensors()[readers.front()].columns(),
                            {.drift = false, .threads = job_.threads});
    show([&](const model::PairedRows& rows) { sums.add(rows); });
    const stages::FeedbackEncoder encoder(sums.take(job_.path.string(), names), 0,
                                          encode_settings(job_, settings_));
    try_types(encoder, wanted);
  }

  void try_types(const stages::FeedbackEncoder& encoder, std::span<const std::size_t> wanted) {
    std::vector<std::vector<std::uint64_t>> rows;
    for (const std::size_t index : wanted) rows.push_back(drawn_rows(candidates_[index].tensor));
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
    // Never above 1; next to nothing, what the damping adds to the errors is subtracted from as much.
    for (std::size_t i = 0; i < outcomes.size(); ++i) *shares[i] = std::clamp(outcomes[i].ratio(), 0.0, 1.0);
  }

  /// Empty for a tensor without sensitive rows.
  std::vector<std::uint64_t> drawn_rows(std::size_t tensor) const {
    const auto& descriptor = source_.tensors()[tensor];
    const auto found = marginals_.find(descriptor.name);
    const auto weights =
        found == marginals_.end() ? std::span<const double>() : std::span(found->second.row_sums);
    return stages::draw_in_proportion(descriptor.rows(), weights, kSampledRows,
                                      uniform_at(job_.settings.seed, tensor, kRowDraw));
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
    auto shares = all_plain(candidates);
    if (fill(cached->bytes(), shares)) return shares;
  }
  const auto windows = windows_of(job, corpus, progress);
  auto shares = with_checkpoint(job, identity, [&](WalkCheckpoint& checkpoint) {
    return ShareWalk(job, settings, candidates, marginals, windows, stop).run(checkpoint, progress);
  });
  const auto values = flat(shares);
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
