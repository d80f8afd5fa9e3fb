// open model -> hash -> cache? -> windows -> walk, with checkpoints -> write -> cache.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

#include "foundation/base/atomic_file.h"
#include "foundation/base/error.h"
#include "foundation/formats/imatrix/imatrix_writer.h"
#include "foundation/kernels/bfloat16.h"
#include "foundation/kernels/gemm.h"
#include "model/architecture/tensor_role.h"
#include "model/forward/decoder_config.h"
#include "model/text/tokenizer.h"
#include "pipeline/cache_folder.h"
#include "pipeline/calibration_walk.h"
#include "pipeline/imatrix.h"
#include "pipeline/output_guard.h"
#include "pipeline/result_cache.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> inputs_of(const ImatrixSettings& settings) {
  auto inputs = files_of_model(settings.model);
  for (const auto& file : settings.corpus.files) inputs.push_back(file.path);
  return inputs;
}

/// What can be refused before hours of work is refused here.
void check(const ImatrixSettings& settings) {
  if (settings.output.empty()) throw UsageError("say where to write with -o OUT.gguf");
  if (settings.per_weight_fisher && settings.method != ImportanceMethod::fisher) {
    throw UsageError("--per-weight-fisher goes with --method fisher only");
  }
  if (settings.per_weight_fisher && is_legacy_output(settings.output)) {
    throw UsageError("--per-weight-fisher: the old form (.dat) has no place for it; write to a .gguf file");
  }
  refuse_writing_over_inputs({settings.output}, inputs_of(settings));
  const AtomicFile probe(settings.output);
}

/// The report of a run whose result the cache has, copied to the output.
std::optional<ImatrixReport> find_cached(const ImatrixSettings& settings, ResultCache& cache,
                                         const ContentHash& key, ProgressObserver& progress) {
  const auto cached = cache.find(key);
  if (!cached) return std::nullopt;
  ImatrixReport report{settings.output, imatrix::parse_imatrix(cached->bytes(), cached->entry_path()), true};
  if (is_legacy_output(settings.output)) {
    write_importance(settings.output, report.matrix, {}, progress);
  } else {
    write_file_atomically(settings.output, cached->bytes());
  }
  return report;
}

imatrix::Entry entry_of(const ColumnStatistics& statistics, ImportanceMethod method) {
  imatrix::Entry entry{.columns = statistics.sums.size() / statistics.counts.size(),
                       .sums = std::vector<float>(statistics.sums.begin(), statistics.sums.end()),
                       .counts = statistics.counts,
                       .maxima = statistics.maxima};
  if (method != ImportanceMethod::activation) {
    const double total = std::accumulate(statistics.sums.begin(), statistics.sums.end(), 0.0);
    entry.sensitivity = static_cast<float>(total / static_cast<double>(statistics.counts.front()));
  }
  return entry;
}

/// Experts that no token passed: quantizing gives all their columns the same weight.
void warn_of_unseen_experts(const std::map<std::string, imatrix::Entry>& entries,
                            ProgressObserver& progress) {
  for (const auto& [name, entry] : entries) {
    if (model::place_of(name).role != model::TensorRole::ffn_down)
      continue;  // gate and up see the same tokens
    std::vector<std::uint64_t> unseen;
    for (std::uint64_t expert = 0; expert < entry.experts(); ++expert) {
      if (entry.counts[expert] == 0) unseen.push_back(expert);
    }
    if (unseen.empty()) continue;
    progress.warn(
        fmt::format("{}: the text never reaches expert{} {} of {}, whose columns will all count the "
                    "same; more text helps",
                    name, unseen.size() == 1 ? "" : "s", fmt::join(unseen, ", "), entry.experts()));
  }
}

/// The run without the cache.
class Calibration {
 public:
  Calibration(const ImatrixSettings& settings, const CheckpointIdentity& identity, ProgressObserver& progress,
              const StopFlag& stop)
      : settings_(settings),
        progress_(progress),
        stop_(stop),
        opened_(model::open_model(settings.model, settings.open)),
        config_(model::read_decoder_config(opened_)) {
    if (config_.mixture && settings.method != ImportanceMethod::activation) {
      throw UsageError(
          fmt::format("{}: gradients are not taken through mixtures of experts; use --method activation",
                      settings.model.string()));
    }
    matrix_.method = settings.method;
    matrix_.provenance = provenance_of(identity);
    if (settings.checkpoint) folder_.emplace(*settings.checkpoint, identity);
    const auto tokenizer = model::make_tokenizer(opened_.metadata, settings.model.string());
    windows_ = model::read_windows(settings.corpus, *tokenizer, progress);
    matrix_.datasets = windows_.datasets;
    matrix_.chunk_count = static_cast<std::uint32_t>(windows_.windows());
    matrix_.chunk_size = windows_.context;
  }

  imatrix::ImatrixFile run() {
    model::ForwardPass pass(*opened_.weights, config_, {windows_.tokens, windows_.context},
                            {kernels::resolve_precision(settings_.precision), settings_.threads,
                             settings_.memory_bytes, settings_.scratch_folder});
    std::optional<imatrix::ImatrixWriter> writer;
    WalkSettings walk_settings{settings_.method, settings_.process_output, {}};
    if (settings_.per_weight_fisher) {
      writer.emplace(settings_.output, outline());
      walk_settings.fisher = [&](std::size_t tensor, std::span<const float> diagonal) {
        write_diagonal(tensor, diagonal, *writer);
      };
    }
    const auto statistics = walk_with_progress(pass, walk_settings);
    for (const auto& [name, column] : statistics) {
      matrix_.entries[name] = entry_of(column, settings_.method);
    }
    warn_of_unseen_experts(matrix_.entries, progress_);
    if (writer) {
      writer->write_statistics(matrix_.entries);
      writer->commit();
    } else {
      write_importance(settings_.output, matrix_, inputs_of(settings_), progress_);
    }
    if (folder_) folder_->clear();
    return std::move(matrix_);
  }

 private:
  CalibrationStatistics walk_with_progress(model::ForwardPass& pass, const WalkSettings& walk_settings) {
    WalkCheckpoint checkpoint(folder_ ? &*folder_ : nullptr);
    if (checkpoint.finished() > 0) {
      progress_.note(fmt::format("going on from {}: {} steps are finished", settings_.checkpoint->string(),
                                 checkpoint.finished()));
    }
    LayerProgress layers("calibrating", progress_);
    add_walk(pass, walk_settings, layers);
    layers.begin();
    try {
      auto statistics = walk(pass, walk_settings, checkpoint, layers, stop_);
      layers.end();
      return statistics;
    } catch (const InterruptedError&) {
      if (!checkpoint.keeps()) throw;
      throw InterruptedError(fmt::format(
          "interrupted; {} steps are finished, the same command goes on from there", checkpoint.finished()));
    }
  }

  /// Whether the walk observes this tensor: the matrices of the layers, and the output on request.
  bool is_observed(const TensorDescriptor& tensor) const {
    if (tensor.shape.size() < 2) return false;
    const std::string output = config_.tied_output ? "token_embd.weight" : "output.weight";
    return tensor.name.starts_with("blk.") || (settings_.process_output && tensor.name == output);
  }

  imatrix::ImatrixFile outline() {
    for (const auto& tensor : opened_.weights->tensors()) {
      if (!is_observed(tensor)) continue;
      matrix_.fisher[tensor.name] = {tensor.name, ElementType::BF16, tensor.shape};
      const ColumnStatistics nothing{std::vector<double>(tensor.columns()), {}, {1}};
      matrix_.entries[tensor.name] = entry_of(nothing, settings_.method);
    }
    return matrix_;
  }

  void write_diagonal(std::size_t tensor, std::span<const float> diagonal, imatrix::ImatrixWriter& writer) {
    std::vector<std::uint16_t> rounded(diagonal.size());
    kernels::to_bfloat16(diagonal, rounded);
    writer.write_fisher_rows(opened_.weights->tensors()[tensor].name, 0, std::as_bytes(std::span(rounded)));
  }

  const ImatrixSettings& settings_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  model::OpenedModel opened_;
  model::DecoderConfig config_;
  std::optional<LayerCheckpoint> folder_;
  model::TokenWindows windows_;
  imatrix::ImatrixFile matrix_;
};

}  // namespace

ImatrixReport make_imatrix(const ImatrixSettings& settings, ProgressObserver& progress,
                           const StopFlag& stop) {
  check(settings);
  const auto cache_folder = default_cache_folder();
  FileHashes hashes({cache_folder, settings.threads}, progress, stop);
  const auto identity = identity_of(settings, hashes);
  ResultCache cache(settings.use_cache ? cache_folder : std::nullopt, progress);
  const auto key = result_key(identity);
  if (auto cached = find_cached(settings, cache, key, progress)) return std::move(*cached);
  ImatrixReport report{settings.output, Calibration(settings, identity, progress, stop).run(), false};
  if (!is_legacy_output(settings.output)) cache.store(key, settings.output);
  return report;
}

}  // namespace tessera::pipeline
