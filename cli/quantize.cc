// tessera quantize: options in, report out.
#include "pipeline/quantize.h"

#include <fmt/format.h>

#include <memory>

#include "command.h"
#include "foundation/base/error.h"
#include "pipeline/run_report.h"
#include "plan_display.h"
#include "progress_display.h"
#include "quantize_options.h"
#include "report_file.h"

namespace tessera::cli {
namespace {

struct RunOptions {
  QuantizeOptions quantize;
  std::vector<std::string> reports;
  bool no_resume = false;
};

pipeline::QuantizeSettings settings_of(const RunOptions& options) {
  auto settings = quantize_settings(options.quantize);
  settings.checkpoints.resume = !options.no_resume;
  settings.wants_provenance = !options.reports.empty();
  if (settings.output.empty()) {
    if (!settings.dry_run) throw UsageError("say where to write with -o OUT.gguf (or use --dry-run)");
    settings.output = "out.gguf";
  }
  // A report without figures of quality is half a report: without a text for it those of -f serve.
  if (!options.reports.empty() && settings.evaluation.files.empty())
    settings.evaluation.files = settings.walks.corpus.files;
  return settings;
}

void run(const RunOptions& options) {
  const auto settings = settings_of(options);
  pipeline::check_outputs(settings, {options.reports.begin(), options.reports.end()});
  const auto& common = options.quantize.common;
  ProgressDisplay progress(common);
  install_stop_handlers();
  const auto report = pipeline::quantize(settings, progress, stop_flag());
  for (const auto& path : options.reports) write_report(pipeline::to_json(report), path);
  if (options.quantize.json) {
    fmt::print("{}", report_text(pipeline::to_json(report)));
  } else if (!common.quiet) {
    print_plan(report, common.verbose);
    print_totals(report, settings.dry_run);
    print_super_weights(report);
    print_evaluation(report);
  }
}

void add_output_options(CLI::App& command, RunOptions& options) {
  auto& settings = options.quantize.settings;
  command.add_option("-o,--output", settings.output, "GGUF file to write");
  command.add_flag("--no-resume", options.no_resume,
                   "Start over instead of going on from an interrupted run of the same command");
  command.add_flag("--dry-run", settings.dry_run, "Show types and exact sizes; write nothing");
  command.add_flag("--json", options.quantize.json, "Print the report as JSON");
  command
      .add_option(
          "--report", options.reports,
          "Evaluate the result and write everything to this file: a page when it ends in .html, else JSON; "
          "may be repeated")
      ->allow_extra_args(false);
  command
      .add_option("--evaluate", options.quantize.dynamic.evaluate,
                  "Text to evaluate the result on, best one that calibration has not seen; may be repeated")
      ->allow_extra_args(false);
  command
      .add_option("--evaluate-samples", options.quantize.dynamic.evaluate_samples,
                  "Windows of the evaluation; 0: all")
      ->capture_default_str();
}

}  // namespace

void add_quantize(CLI::App& program) {
  auto options = std::make_shared<RunOptions>();
  auto* command =
      program.add_subcommand("quantize", "Make a model small: GGUF file or Hugging Face folder to GGUF");
  add_type_options(*command, options->quantize);
  add_output_options(*command, *options);
  // Listing the types parses every recipe: only when help is asked for.
  command->footer([] {
    return "\nExamples:\n  tessera quantize model-f16.gguf -o model-Q4_K_M.gguf --type Q4_K_M\n"
           "  tessera quantize model-f16.gguf -o small.gguf --dynamic --target-bpw 2.5 -f text.txt --report "
           "report.html\n" +
           known_types();
  });
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
