// tessera report: the report of a run as a page to look at.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "command.h"
#include "pipeline/report_page.h"

namespace tessera::cli {
namespace {

struct ReportOptions {
  std::filesystem::path report, output;
};

}  // namespace

void add_report(CLI::App& program) {
  auto options = std::make_shared<ReportOptions>();
  auto* command = program.add_subcommand("report", "Make an HTML page of the JSON report of a run");
  command
      ->add_option("report", options->report,
                   "What --report FILE.json of `tessera quantize` or `tessera smoothquant` wrote")
      ->required();
  command->add_option("-o,--output", options->output, "The page to write")->required();
  command->footer("\nExample:\n  tessera report run-report.json -o run-report.html\n");
  command->callback([options] { pipeline::write_report_page(options->report, options->output); });
}

}  // namespace tessera::cli
