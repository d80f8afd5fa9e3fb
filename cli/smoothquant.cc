// tessera smoothquant: model and texts in, the model with its activation outliers moved into its weights out.
#include "pipeline/smoothquant.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.h"
#include "corpus_options.h"
#include "forward_options.h"
#include "foundation/base/atomic_file.h"
#include "foundation/base/error.h"
#include "option_values.h"
#include "pipeline/smoothquant_report.h"
#include "progress_display.h"
#include "report_file.h"

namespace tessera::cli {
namespace {

struct SmoothQuantOptions {
  CommonOptions common;
  CorpusOptions corpus;
  ForwardOptions forward;
  pipeline::SmoothQuantSettings settings;
  std::string alpha, config, type = "auto";
  std::vector<std::string> evaluate, reports;
  std::uint32_t evaluate_samples = 64;
  std::filesystem::path scales;
  bool smooth_only = false;
  bool w8a8 = false;
  bool no_cache = false;
};

pipeline::SmoothQuantSettings settings_of(const SmoothQuantOptions& options) {
  using Output = pipeline::SmoothQuantSettings::Output;
  auto settings = options.settings;
  settings.form = options.smooth_only ? Output::smoothed : Output::w8a8;
  if (options.type != "auto") settings.type = parse_type("--type", options.type);
  if (!options.config.empty()) settings.smoothing.config = read_smoothing_config(options.config);
  if (!options.alpha.empty()) settings.smoothing.config.strength = smoothing_strength_from(options.alpha);
  settings.threads = options.common.threads;
  for (const auto& text : options.evaluate) settings.evaluation.files.push_back({.path = text});
  // A report without figures of quality is half a report: without a text for it those of -f serve.
  if (!options.reports.empty() && options.evaluate.empty())
    settings.evaluation.files = corpus_settings(options.corpus).files;
  settings.evaluation.context = options.corpus.settings.context;
  settings.evaluation.samples = options.evaluate_samples;
  settings.walks.corpus = corpus_settings(options.corpus);
  settings.walks.use_cache = !options.no_cache;
  settings.walks.precision = precision_of(options.forward);
  settings.walks.memory_bytes = memory_bytes_of(options.forward);
  settings.walks.scratch_folder = options.forward.scratch_folder;
  return settings;
}

void write_scales(const SmoothingPlan& plan, const std::filesystem::path& path) {
  const std::string text = to_json(plan).dump() + "\n";
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void print_folds(const SmoothingPlan& plan) {
  fmt::print("{:<6} {:<18} {:>6} {:>14} {:>14}\n", "layer", "fold", "alpha", "error naive", "smoothed");
  for (const auto& fold : plan.folds) {
    double naive = 0, smoothed = 0;
    for (const auto& linear : fold.linears) {
      naive += linear.naive_error / static_cast<double>(fold.linears.size());
      smoothed += linear.smoothed_error / static_cast<double>(fold.linears.size());
    }
    fmt::print("{:<6} {:<18} {:>6} {:>14.3e} {:>14.3e}\n", fold.layer, fold.fold,
               fold.alpha ? fmt::format("{:g}", *fold.alpha) : "-", naive, smoothed);
  }
}

void print_variant(std::string_view label, const Evaluation& evaluation) {
  fmt::print("{:<24} perplexity {:.4f} ({:+.3f} %), KL divergence {:.6f}\n", label,
             evaluation.quantized->perplexity.value, evaluation.change->perplexity_delta_pct,
             evaluation.change->kl_divergence.value);
}

void print_report(const pipeline::SmoothQuantReport& report, bool verbose) {
  if (verbose) print_folds(report.plan);
  fmt::print("wrote {}: {}\n", report.output.string(), format_bytes(report.bytes));
  if (!report.evaluations) return;
  const auto& evaluations = *report.evaluations;
  fmt::print("{:<24} perplexity {:.4f}\n", "original", evaluations.smoothed.original.perplexity.value);
  print_variant("smoothed", evaluations.smoothed);
  print_variant("W8A8 without smoothing", evaluations.naive_w8a8);
  print_variant("W8A8 smoothed", evaluations.smoothed_w8a8);
}

void run(const SmoothQuantOptions& options) {
  const auto settings = settings_of(options);
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  std::vector<std::filesystem::path> others(options.reports.begin(), options.reports.end());
  if (!options.scales.empty()) others.push_back(options.scales);
  pipeline::check_other_outputs(settings, others);
  const auto report = pipeline::smoothquant(settings, progress, stop_flag());
  for (const auto& path : options.reports) write_report(pipeline::to_json(report), path);
  if (!options.scales.empty()) write_scales(report.plan, options.scales);
  if (!options.common.quiet) print_report(report, options.common.verbose);
}

}  // namespace

void add_smoothquant(CLI::App& program) {
  auto options = std::make_shared<SmoothQuantOptions>();
  auto& settings = options->settings;
  auto* command = program.add_subcommand(
      "smoothquant", "Move activation outliers into the weights; write an 8-bit (W8A8) model");
  command->add_option("model", settings.model, "GGUF file or Hugging Face folder")->required();
  command->add_option("-o,--output", settings.output, "Folder to write; a GGUF file where it ends in .gguf")
      ->required();
  add_corpus_options(*command, options->corpus);
  auto* only = command->add_flag("--smooth-only", options->smooth_only,
                                 "Write the smoothed model in its own precision");
  command->add_flag("--w8a8", options->w8a8, "Write 8-bit weights for 8-bit activations (the default)")
      ->excludes(only);
  command->add_option(
      "--alpha", options->alpha,
      "Share of the outliers that moves into the weights, 0 to 1; auto: searched for, fold by "
      "fold; none: no smoothing (default 0.5)");
  command->add_option("--config", options->config, "YAML or JSON file with an alpha by layer and fold");
  command->add_option("--type", options->type, "Of floats in the output: f32, f16, bf16, or auto")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "auto"}, CLI::ignore_case))
      ->capture_default_str();
  command->add_flag("--static-activations", settings.smoothing.static_activations,
                    "One scale for all tokens of a linear, kept in the model, instead of one per token");
  command
      ->add_option("--percentile", settings.smoothing.percentile,
                   "Of a channel's magnitudes, instead of the largest: above 90, at most 100")
      ->capture_default_str();
  command
      ->add_option(
          "--report", options->reports,
          "Write ranges, errors and perplexities to this file: a page when it ends in .html, else JSON; "
          "may be repeated")
      ->allow_extra_args(false);
  command->add_option("--scales", options->scales,
                      "Write every channel's ranges and scale to this JSON file");
  command
      ->add_option("--evaluate", options->evaluate,
                   "Text to evaluate original, smoothed and W8A8 models on; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--evaluate-samples", options->evaluate_samples, "Windows of the evaluation; 0: all")
      ->capture_default_str();
  command->add_flag("--no-cache", options->no_cache,
                    "Neither look for the result of an equal walk nor keep this one's");
  add_forward_options(*command, options->forward);
  add_common_options(*command, options->common);
  command->footer("\nExample:\n  tessera smoothquant Llama-3.2-1B -f text.txt -o Llama-3.2-1B-W8A8\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
