#include "pipeline/smoothquant.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "foundation/base/atomic_folder.h"
#include "foundation/base/error.h"
#include "model/architecture/int8_scheme.h"
#include "pipeline/evaluate.h"
#include "pipeline/file_hashes.h"
#include "pipeline/hf_folder.h"
#include "pipeline/output_guard.h"
#include "pipeline/plain_gguf.h"
#include "pipeline/work_folder.h"
#include "stages/gather_magnitudes.h"
#include "stages/rounded_to_int8.h"
#include "stages/smoothed_weights.h"

namespace tessera::pipeline {
namespace {

using Output = SmoothQuantSettings::Output;

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
  if (settings.form == Output::w8a8 && is_gguf_name(settings.output)) {
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
  if (!is_gguf_name(settings.output)) const AtomicFolder probe(settings.output);
}

/// The three models that come of one, seen through it; nothing is made.
class Variants {
 public:
  Variants(const SmoothQuantSettings& settings, const model::OpenedModel& original, ElementType type,
           const SmoothingPlan& plan, std::span<const model::FoldRule> rules)
      : settings_(settings),
        original_(original),
        type_(type),
        plan_(plan),
        rules_(rules),
        heads_(heads_of(original)),
        smoothed_(*original.weights, plan, rules, heads_) {}

  const WeightSource& smoothed() const { return smoothed_; }
  stages::RoundedToInt8 smoothed_int8() const { return {smoothed_, int8_settings(true)}; }

  model::OpenedModel open_smoothed() const {
    return with(std::make_unique<stages::SmoothedWeights>(*original_.weights, plan_, rules_, heads_));
  }
  model::OpenedModel open_naive_int8() const {
    return with(std::make_unique<stages::RoundedToInt8>(*original_.weights, int8_settings(false)));
  }
  model::OpenedModel open_smoothed_int8() const {
    return with(std::make_unique<stages::RoundedToInt8>(smoothed_, int8_settings(true)));
  }

 private:
  model::OpenedModel with(std::unique_ptr<WeightSource> weights) const {
    return {std::move(weights), original_.metadata, original_.attention_windows};
  }

  stages::Int8Settings int8_settings(bool is_smoothed) const {
    stages::Int8Settings result{.scale_type = type_};
    if (!settings_.smoothing.static_activations) return result;
    for (const auto& fold : plan_.folds) {
      const float largest = largest_input(fold, is_smoothed);
      for (const auto& linear : fold.linears) result.input_maxima[linear.tensor] = largest;
    }
    return result;
  }

  static float largest_input(const SmoothedFold& fold, bool is_smoothed) {
    double largest = 0;
    for (std::size_t c = 0; c < fold.scales.size(); ++c)
      largest = std::max(largest, fold.input_maxima[c] / (is_smoothed ? fold.scales[c] : 1));
    return static_cast<float>(largest);
  }

  const SmoothQuantSettings& settings_;
  const model::OpenedModel& original_;
  ElementType type_;
  const SmoothingPlan& plan_;
  std::span<const model::FoldRule> rules_;
  model::HeadShape heads_;
  stages::SmoothedWeights smoothed_;
};

void write_output(const SmoothQuantSettings& settings, const model::OpenedModel& model,
                  const Variants& variants, ElementType type, ProgressObserver& progress,
                  const StopFlag& stop) {
  if (is_gguf_name(settings.output)) {
    PlainGgufSettings file{.input = settings.model, .output = settings.output, .type = type};
    file.encode.threads = settings.threads;
    write_plain_gguf(variants.smoothed(), model.metadata, file, progress, stop);
    return;
  }
  HfFolderSettings folder{.input = settings.model, .output = settings.output, .type = type};
  folder.encode.threads = settings.threads;
  if (settings.form == Output::smoothed) {
    write_hf_folder(variants.smoothed(), model, folder, progress, stop);
    return;
  }
  folder.quantization_config =
      model::to_quantization_config({.static_inputs = settings.smoothing.static_activations});
  write_hf_folder(variants.smoothed_int8(), model, folder, progress, stop);
}

/// What was written is read back; the others are seen through the original.
SmoothQuantEvaluations evaluate_variants(const SmoothQuantSettings& settings, const model::OpenedModel& model,
                                         const Variants& variants, ProgressObserver& progress,
                                         const StopFlag& stop) {
  EvaluateSettings evaluation{.model = settings.model, .open = settings.open, .corpus = settings.evaluation};
  evaluation.precision = settings.walks.precision;
  evaluation.threads = settings.threads;
  evaluation.memory_bytes = settings.walks.memory_bytes;
  evaluation.scratch_folder = settings.walks.scratch_folder;
  const EvaluationSubject original{settings.model.string(), model, files_of_model(settings.model)};
  const auto against = [&](const std::string& name, const model::OpenedModel& other) {
    const EvaluationSubject subject{name, other};
    return evaluate(original, &subject, evaluation, progress, stop);
  };
  const auto written = open_for_evaluation(settings.output, settings.open);
  const bool is_w8a8 = settings.form == Output::w8a8;
  const std::string output = settings.output.string();
  return {.smoothed = is_w8a8 ? against("smoothed", variants.open_smoothed()) : against(output, written),
          .naive_w8a8 = against("W8A8 without smoothing", variants.open_naive_int8()),
          .smoothed_w8a8 =
              is_w8a8 ? against(output, written) : against("smoothed W8A8", variants.open_smoothed_int8())};
}

std::map<std::string, nlohmann::json> named_settings(const SmoothQuantSettings& settings) {
  const auto& corpus = settings.walks.corpus;
  return {{"smoothing", text_of(settings.smoothing.config)},
          {"percentile", settings.smoothing.percentile},
          {"activations", settings.smoothing.static_activations ? "static" : "per token"},
          {"context", corpus.context},
          {"samples", corpus.samples}};
}

std::uint64_t bytes_at(const std::filesystem::path& output) {
  std::uint64_t bytes = 0;
  for (const auto& file : files_of_model(output)) bytes += std::filesystem::file_size(file);
  return bytes;
}

}  // namespace

std::string_view name_of(Output form) { return form == Output::w8a8 ? "w8a8" : "smoothed"; }

void check_other_outputs(const SmoothQuantSettings& settings,
                         const std::vector<std::filesystem::path>& outputs) {
  std::vector<std::filesystem::path> inputs;
  for (const auto& input : inputs_of(settings)) inputs.push_back(input.path);
  refuse_writing_over_inputs(outputs, inputs);
  for (const auto& output : outputs) require_writable_folder(output);
}

SmoothQuantReport smoothquant(const SmoothQuantSettings& settings, ProgressObserver& progress,
                              const StopFlag& stop) {
  const auto inputs = inputs_of(settings);
  check(settings, inputs);
  const auto model = model::open_model(settings.model, settings.open);
  if (!is_gguf_name(settings.output)) check_hf_folder(*model.weights, model, settings.model);
  const WorkFolder work(settings.output);
  auto walks = settings.walks;
  if (!walks.checkpoint) walks.checkpoint = work.path();
  const TextWalkJob job{settings.model,  model, settings.open, walks, codecs::EncoderKind::tessera,
                        settings.threads};
  SmoothQuantReport report;
  report.model = settings.model.string();
  report.output = settings.output;
  report.form = settings.form;
  report.settings = named_settings(settings);
  report.type = settings.type ? *settings.type : own_type_of(*model.weights);
  report.provenance = hashed(inputs, settings.threads, progress, stop);
  report.plan = timed(report.times, "smoothing",
                      [&] { return plan_smoothing(job, settings.smoothing, progress, stop); });
  const Variants variants(settings, model, report.type, report.plan, folds_of(job));
  report.bytes = timed(report.times, "writing", [&] {
    write_output(settings, model, variants, report.type, progress, stop);
    return bytes_at(settings.output);
  });
  work.finish();
  if (!settings.evaluation.files.empty()) {
    report.evaluations = timed(report.times, "evaluating",
                               [&] { return evaluate_variants(settings, model, variants, progress, stop); });
  }
  return report;
}

}  // namespace tessera::pipeline
