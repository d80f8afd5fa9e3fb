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
#include "progress_display.h"

namespace tessera::cli {
namespace {

struct SmoothQuantOptions {
  CommonOptions common;
  CorpusOptions corpus;
  ForwardOptions forward;
  pipeline::SmoothQuantSettings settings;
  std::string alpha, config, type = "auto";
  bool smooth_only = false;
  bool w8a8 = false;
};

pipeline::SmoothQuantSettings settings_of(const SmoothQuantOptions& options) {
  using Output = pipeline::SmoothQuantSettings::Output;
  auto settings = options.settings;
  settings.form = options.smooth_only ? Output::smoothed : Output::w8a8;
  if (options.type != "auto") settings.type = parse_type("--type", options.type);
  if (!options.config.empty()) settings.smoothing.config = read_smoothing_config(options.config);
  if (!options.alpha.empty()) settings.smoothing.config.strength = smoothing_strength_from(options.alpha);
  settings.threads = options.common.threads;
  settings.walks.corpus = corpus_settings(options.corpus);
  settings.walks.precision = precision_of(options.forward);
  settings.walks.memory_bytes = memory_bytes_of(options.forward);
  settings.walks.scratch_folder = options.forward.scratch_folder;
  return settings;
}

void run(const SmoothQuantOptions& options) {
  const auto settings = settings_of(options);
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const auto report = pipeline::smoothquant(settings, progress, stop_flag());
  if (options.common.quiet) return;
  fmt::print("wrote {}\n", report.output.string());
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
  add_forward_options(*command, options->forward);
  add_common_options(*command, options->common);
  command->footer("\nExample:\n  tessera smoothquant Llama-3.2-1B -f text.txt -o Llama-3.2-1B-W8A8\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
