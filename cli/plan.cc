// tessera plan: everything of a quantization but the encoding. The plan is printed, and saved in the form
// that the ending of a name asks for: .yaml to edit and give back with --plan, .json the report, .txt for
// llama-quantize's --tensor-type-file, .gguf the importance it was made with, for llama-quantize's --imatrix.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "artifacts/plan_document.h"
#include "artifacts/tensor_type_file.h"
#include "command.h"
#include "foundation/base/atomic_file.h"
#include "foundation/base/error.h"
#include "pipeline/imatrix.h"
#include "pipeline/run_report.h"
#include "plan_display.h"
#include "progress_display.h"
#include "quantize_options.h"
#include "report_file.h"

namespace tessera::cli {
namespace {

constexpr std::array<std::string_view, 5> kEndings = {".yaml", ".yml", ".json", ".txt", ".gguf"};

struct PlanOptions {
  QuantizeOptions quantize;
  std::vector<std::filesystem::path> outputs;
};

void check_endings(const PlanOptions& options) {
  for (const auto& path : options.outputs) {
    const auto ending = path.extension().string();
    if (std::ranges::find(kEndings, ending) != kEndings.end()) continue;
    throw UsageError(
        fmt::format("-o {}: the name of a plan ends in .yaml, .json, .txt (types for llama-quantize) or "
                    ".gguf (importance)",
                    path.string()));
  }
}

void save(const pipeline::QuantizeReport& report, const std::filesystem::path& path,
          ProgressObserver& progress) {
  if (path.extension() == ".json") return write_report(pipeline::to_json(report), path);
  if (path.extension() == ".gguf")
    return pipeline::write_importance(path, to_importance_file(report.importance, report.plan), {}, progress);
  const std::string text =
      path.extension() == ".txt" ? to_tensor_type_file(report.plan) : to_yaml(report.plan, report.header);
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void run(const PlanOptions& options) {
  check_endings(options);
  auto settings = quantize_settings(options.quantize);
  settings.dry_run = true;
  settings.output = "out.gguf";
  pipeline::check_outputs(settings, options.outputs);
  const auto& common = options.quantize.common;
  ProgressDisplay progress(common);
  install_stop_handlers();
  const auto report = pipeline::quantize(settings, progress, stop_flag());
  for (const auto& path : options.outputs) save(report, path, progress);
  if (options.quantize.json) {
    fmt::print("{}", report_text(pipeline::to_json(report)));
  } else if (!common.quiet) {
    print_plan(report, common.verbose);
    print_size_curve(report);
    print_totals(report, true);
  }
}

}  // namespace

void add_plan(CLI::App& program) {
  auto options = std::make_shared<PlanOptions>();
  auto* command = program.add_subcommand(
      "plan", "Show what quantize would make of every tensor, with size and predicted loss; save it");
  add_type_options(*command, options->quantize);
  command
      ->add_option(
          "-o,--output", options->outputs,
          "Save the plan: .yaml (for --plan), .json, .txt (types for llama-quantize), .gguf (the importance "
          "it was made with); may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--json", options->quantize.json, "Print the report as JSON");
  command->footer(
      "\nExample:\n  tessera plan model-f16.gguf --target-size 3.5GiB -f text.txt -o plan.yaml\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
