#include "pipeline/smoothquant.h"

#include <fmt/format.h>

#include <algorithm>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "pipeline/cache_folder.h"
#include "pipeline/file_hashes.h"
#include "pipeline/output_guard.h"
#include "pipeline/work_folder.h"
#include "stages/copy_tensors.h"
#include "stages/gather_magnitudes.h"
#include "stages/int8_linears.h"
#include "stages/smoothed_weights.h"

namespace tessera::pipeline {
namespace {

using Output = SmoothQuantSettings::Output;

bool is_gguf(const std::filesystem::path& output) { return output.extension() == ".gguf"; }

std::vector<ProvenanceFile> inputs_of(const SmoothQuantSettings& settings) {
  std::vector<ProvenanceFile> files;
  for (const auto& file : files_that_decide(settings.model)) files.push_back({"model", file});
  for (const auto& file : settings.walks.corpus.files) files.push_back({"calibration text", file.path});
  for (const auto& file : settings.evaluation.files) files.push_back({"evaluation text", file.path});
  return files;
}

/// What can be refused before the walk is refused here.
void check(const SmoothQuantSettings& settings, const std::vector<ProvenanceFile>& inputs) {
  const double percentile = settings.smoothing.percentile;
  if (!(percentile > stages::kLeastPercentile && percentile <= 100)) {
    throw UsageError(fmt::format("--percentile is {}; it must be above {} and at most 100", percentile,
                                 stages::kLeastPercentile));
  }
  if (settings.form == Output::w8a8 && is_gguf(settings.output)) {
    throw UsageError(fmt::format(
        "{}: W8A8 models are Hugging Face folders; name a folder, or write the smoothed model alone with "
        "--smooth-only",
        settings.output.string()));
  }
  std::vector<std::filesystem::path> paths;
  for (const auto& input : inputs) paths.push_back(input.path);
  require_files(paths);
  refuse_writing_over_inputs({settings.output}, paths);
  require_writable_folder(settings.output);
}

[[maybe_unused]]  /// Largest magnitudes of the smoothed inputs, by reader: what static activations are scaled
                  /// by.
std::map<std::string, float>
input_maxima_of(const SmoothingPlan& plan, std::span<const model::FoldRule> rules,
                const model::HeadShape& heads) {
  std::map<std::string, float> maxima;
  for (const auto& fold : plan.folds) {
    const auto rule = std::ranges::find(rules, fold.fold, &model::FoldRule::name);
    double largest = 0;
    for (std::size_t c = 0; c < fold.input_maxima.size(); ++c) {
      const auto channel = carrier_channel(rule->channels, heads, c);
      largest = std::max(largest, fold.input_maxima[c] / fold.scales[channel]);
    }
    for (const auto& linear : fold.linears) maxima[linear.tensor] = static_cast<float>(largest);
  }
  return maxima;
}

void write_gguf(const SmoothQuantSettings& settings, const model::OpenedModel& model,
                const WeightSource& weights, ElementType type, ProgressObserver& progress,
                const StopFlag& stop) {
  auto metadata = model.metadata;
  metadata.set("general.file_type", model::file_type_of_plain(type));
  const auto sink =
      gguf::create_gguf(settings.output, metadata, {weights.tensors().begin(), weights.tensors().end()});
  stages::copy_tensors(weights, *sink, settings.threads, progress, stop);
  sink->commit();
}

std::string text_of(const SmoothQuantSettings& settings) {
  return fmt::format("{} {} percentile={:g} activations={}", name_of(settings.form),
                     text_of(settings.smoothing.config), settings.smoothing.percentile,
                     settings.smoothing.static_activations ? "static" : "per-token");
}

}  // namespace

std::string_view name_of(Output form) { return form == Output::w8a8 ? "w8a8" : "smoothed"; }

SmoothQuantReport smoothquant(const SmoothQuantSettings& settings, ProgressObserver& progress,
                              const StopFlag& stop) {
  const auto inputs = inputs_of(settings);
  check(settings, inputs);
  const auto model = model::open_model(settings.model, settings.open);
  const WorkFolder work(settings.output);
  auto walks = settings.walks;
  if (!walks.checkpoint) walks.checkpoint = work.path();
  const TextWalkJob job{settings.model,  model, settings.open, walks, codecs::EncoderKind::tessera,
                        settings.threads};
  SmoothQuantReport report;
  report.model = settings.model.string();
  report.output = settings.output;
  report.form = settings.form;
  report.settings = text_of(settings);
  report.type = settings.type.value_or(model::plain_type_of(*model.weights));
  const auto rules = folds_of(job);
  report.plan = timed(report.times, "smoothing",
                      [&] { return plan_smoothing(job, settings.smoothing, progress, stop); });
  const stages::SmoothedWeights smoothed(*model.weights, report.plan, rules, heads_of(model), settings.type);
  timed(report.times, "writing", [&] {
    write_gguf(settings, model, smoothed, report.type, progress, stop);
    return 0;
  });
  work.finish();
  return report;
}

}  // namespace tessera::pipeline
