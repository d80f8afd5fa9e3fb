#include "pipeline/super_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "foundation/base/error.h"
#include "foundation/codecs/row_reader.h"
#include "model/architecture/kept_tensors.h"
#include "model/forward/decoder_config.h"
#include "pipeline/cache_folder.h"
#include "pipeline/imatrix.h"
#include "pipeline/spike_walk.h"
#include "pipeline/text_walks.h"
#include "stages/match_importance.h"

namespace tessera::pipeline {
namespace {

using imatrix::ImportanceMethod;

bool looks_for(const SuperWeightSettings& settings, SuperWeightSearch search) {
  return settings.search == search || settings.search == SuperWeightSearch::both;
}

/// Importance matrix and what its scores are called.
class Scoring {
 public:
  Scoring(const TextWalkJob& job, const SuperWeightSettings& settings, ProgressObserver& progress,
          const StopFlag& stop)
      : source_(*job.model.weights) {
    if (settings.imatrix) {
      file_ = settings.imatrix->string();
      matrix_ = imatrix::read_imatrix(*settings.imatrix);
    } else if (job.has_texts()) {
      std::vector<StepTime> times;
      file_ = kComputedImportance;
      matrix_ = importance_of_texts(job, times, progress, stop);
    }
    if (!matrix_) return;
    if (matrix_->method == ImportanceMethod::gradient) {
      throw UsageError(
          fmt::format("{}: the method gradient sums over columns and does not tell their weights apart; make "
                      "an importance matrix with --method activation, or fisher with --per-weight-fisher",
                      file_));
    }
    if (!matrix_->fisher.empty()) fisher_ = std::make_unique<imatrix::FisherReader>(*settings.imatrix);
  }

  std::string name() const {
    if (!matrix_) return "magnitude";
    if (matrix_->method == ImportanceMethod::activation) return "activation";
    return fisher_ ? "gradient" : "gradient of columns";
  }

  stages::CoverageJob job(ProgressObserver& progress) const {
    stages::CoverageJob job{source_, {}, fisher_.get()};
    std::vector<bool> wanted;
    for (const auto& tensor : source_.tensors()) wanted.push_back(model::may_be_quantized(tensor));
    PlanImportance importance;
    if (matrix_) importance = stages::match_importance(source_.tensors(), wanted, *matrix_, file_, progress);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (!wanted[i]) continue;
      if (!matrix_) {
        job.tensors.push_back({.tensor = i});
      } else if (fisher_ != nullptr && has_diagonal(i)) {
        job.tensors.push_back({.tensor = i, .column_factors = {}, .per_weight = true});
      } else if (fisher_ == nullptr && importance.tensors[i]) {
        job.tensors.push_back({i, factors_of(i, importance.tensors[i]->entry)});
      } else {
        progress.note(fmt::format("{}: {} has no entry for it; its weights are not considered",
                                  source_.tensors()[i].name, file_));
      }
    }
    return job;
  }

 private:
  bool has_diagonal(std::size_t tensor) const {
    const auto& descriptor = source_.tensors()[tensor];
    const auto found = matrix_->fisher.find(descriptor.name);
    if (found == matrix_->fisher.end()) return false;
    if (found->second.shape == descriptor.shape) return true;
    throw BadFileError({.file = file_, .tensor = descriptor.name},
                       "its diagonal has another shape; this importance matrix was made for another model");
  }

  /// [matrices, columns]
  std::vector<float> factors_of(std::size_t tensor, const imatrix::Entry& entry) const {
    const bool is_fisher = matrix_->method == ImportanceMethod::fisher;
    const auto rows = static_cast<float>(source_.tensors()[tensor].rows_per_matrix());
    std::vector<float> factors;
    for (std::uint64_t matrix = 0; matrix < entry.experts(); ++matrix) {
      for (const float mean : entry.importance(matrix)) {
        const float square = is_fisher ? mean / rows : mean;
        factors.push_back(entry.counts[matrix] == 0 ? 0 : std::sqrt(square));
      }
    }
    return factors;
  }

  const WeightSource& source_;
  std::string file_;
  std::optional<imatrix::ImatrixFile> matrix_;
  std::unique_ptr<imatrix::FisherReader> fisher_;
};

void add_by_coverage(const TextWalkJob& job, const SuperWeightSettings& settings, ProgressObserver& progress,
                     const StopFlag& stop, SuperWeightList& list) {
  const Scoring scoring(job, settings, progress, stop);
  auto coverage = settings.coverage;
  coverage.threads = job.threads;
  const auto scan = scoring.job(progress);
  auto finding = stages::scan_coverage(scan, coverage, progress, stop);
  finding.outcome.score = scoring.name();
  list.coverage = finding.outcome;
  list.weights.insert(list.weights.end(), std::make_move_iterator(finding.weights.begin()),
                      std::make_move_iterator(finding.weights.end()));
}

void add_by_spikes(const TextWalkJob& job, const SuperWeightSettings& settings, ProgressObserver& progress,
                   const StopFlag& stop, SuperWeightList& list) {
  const auto& source = *job.model.weights;
  const auto config = model::read_decoder_config(job.model);
  const auto windows = windows_of(job, first_windows(job, settings.spike_samples), progress);
  const auto spikes = find_spikes(source, config, {windows.tokens, windows.context}, settings.spikes,
                                  forward_settings(job), progress, stop);
  list.spikes = SpikeOutcome{.input_ratio = settings.spikes.input_ratio,
                             .output_ratio = settings.spikes.output_ratio,
                             .tokens = windows.tokens.size(),
                             .found = spikes.size()};
  codecs::RowReader rows(source);
  for (const auto& spike : spikes) {
    list.weights.push_back(
        {.tensor = source.tensors()[spike.tensor].name,
         .row = spike.row,
         .column = spike.column,
         .value = spike.value,
         .score = spike.score,
         .notion = SuperWeightNotion::activation_spike,
         .block_ratio = stages::block_ratio(rows.row(spike.tensor, spike.row), spike.column)});
  }
}

}  // namespace

void check(const SuperWeightSettings& settings, bool has_texts) {
  if (looks_for(settings, SuperWeightSearch::coverage)) stages::require_coverage(settings.coverage.coverage);
  if (!looks_for(settings, SuperWeightSearch::spikes)) return;
  stages::require_spike_settings(settings.spikes);
  if (has_texts) return;
  throw UsageError(
      "activation spikes are found by running the model: give a text with -f FILE, or look for weights by "
      "coverage alone with --notion coverage");
}

SuperWeightList find_super_weights(const TextWalkJob& job, const SuperWeightSettings& settings,
                                   ProgressObserver& progress, const StopFlag& stop) {
  check(settings, job.has_texts());
  SuperWeightList list;
  if (settings.names_model) {
    FileHashes hashes({default_cache_folder(), job.threads}, progress, stop);
    list.model_hash = hash_of_model(job.path, hashes);
  }
  if (looks_for(settings, SuperWeightSearch::coverage)) add_by_coverage(job, settings, progress, stop, list);
  if (looks_for(settings, SuperWeightSearch::spikes)) add_by_spikes(job, settings, progress, stop, list);
  return list;
}

}  // namespace tessera::pipeline
