// tessera imatrix: model and texts in, importance matrix out; show, compare and merge are commands below it.
#include "pipeline/imatrix.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "corpus_options.h"
#include "forward_options.h"
#include "foundation/base/error.h"
#include "imatrix_files.h"
#include "progress_display.h"

namespace tessera::cli {
namespace {

struct ImatrixOptions {
  CommonOptions common;
  CorpusOptions corpus;
  ForwardOptions forward;
  pipeline::ImatrixSettings settings;
  std::string method = std::string(name_of(pipeline::ImportanceMethod::activation));
  std::string checkpoint;
  bool no_cache = false;
};

pipeline::ImatrixSettings settings_of(const ImatrixOptions& options) {
  auto settings = options.settings;
  settings.corpus = corpus_settings(options.corpus);
  settings.method = *imatrix::importance_method_from_name(options.method);
  if (!options.checkpoint.empty()) settings.checkpoint = options.checkpoint;
  settings.use_cache = !options.no_cache;
  settings.precision = precision_of(options.forward);
  settings.memory_bytes = memory_bytes_of(options.forward);
  settings.scratch_folder = options.forward.scratch_folder;
  settings.threads = options.common.threads;
  if (settings.per_weight_fisher && settings.method != pipeline::ImportanceMethod::fisher)
    throw UsageError("--per-weight-fisher goes with --method fisher only");
  return settings;
}

void run(const ImatrixOptions& options) {
  const auto settings = settings_of(options);
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const auto report = pipeline::make_imatrix(settings, progress, stop_flag());
  if (options.common.quiet) return;
  fmt::print("wrote {}: {} tensors, {} chunks of {} tokens{}\n", report.output.string(),
             report.matrix.entries.size(), report.matrix.chunk_count, report.matrix.chunk_size,
             report.from_cache ? ", from the cache" : "");
}

/// The options that only the calibration needs cannot be required of the command, whose subcommands have
/// others.
void require_options(const CLI::App& command) {
  for (const char* name : {"model", "--file", "--output"}) {
    if (command.count(name) == 0) throw CLI::RequiredError(name);
  }
}

void add_run_options(CLI::App& command, ImatrixOptions& options) {
  auto& settings = options.settings;
  std::vector<std::string> methods;
  for (const auto method : imatrix::kAllImportanceMethods) methods.emplace_back(name_of(method));
  command.add_option("-o,--output", settings.output, "File to write; .dat: the old form, otherwise GGUF");
  command
      .add_option("--method", options.method,
                  "activation: mean squared input, as llama-imatrix; gradient: mean |gradient x weight|; "
                  "fisher: mean squared gradient")
      ->check(CLI::IsMember(methods))
      ->capture_default_str();
  command.add_flag("--process-output", settings.process_output, "Statistics for output.weight, too");
  command.add_flag("--per-weight-fisher", settings.per_weight_fisher,
                   "With --method fisher: keep the mean squared gradient of every weight (as large as the "
                   "model in BF16)");
  command.add_option("--checkpoint", options.checkpoint,
                     "Folder that keeps finished layers: the same command goes on from there when it was "
                     "stopped or killed");
  command.add_flag("--no-cache", options.no_cache,
                   "Neither look for the result of an equal run nor keep this one's");
  command.add_option("--pre", settings.open.pre_tokenizer,
                     "llama.cpp's name of a folder's pre-tokenizer, where tokenizer.json does not tell it");
}

}  // namespace

void add_imatrix(CLI::App& program) {
  auto options = std::make_shared<ImatrixOptions>();
  auto* command = program.add_subcommand(
      "imatrix", "Find out from texts which columns of a model matter; show, compare, merge such files");
  command->add_option("model", options->settings.model, "GGUF file or Hugging Face folder");
  add_corpus_options(*command, options->corpus);
  command->get_option("--file")->required(false);
  add_run_options(*command, *options);
  add_forward_options(*command, options->forward);
  add_common_options(*command, options->common);
  add_imatrix_files(*command);
  command->footer(
      "\nExamples:\n  tessera imatrix model-f16.gguf -f text.txt -o imatrix.gguf\n"
      "  tessera imatrix show imatrix.gguf\n");
  command->callback([options, command] {
    if (!command->get_subcommands().empty()) return;
    require_options(*command);
    run(*options);
  });
}

}  // namespace tessera::cli
