// tessera evaluate: how well a model predicts a text, and what quantization cost.
#include "pipeline/evaluate.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "coherence_display.h"
#include "command.h"
#include "corpus_options.h"
#include "forward_options.h"
#include "foundation/base/atomic_file.h"
#include "progress_display.h"

namespace tessera::cli {
namespace {

struct EvaluateOptions {
  CommonOptions common;
  CorpusOptions corpus;
  ForwardOptions forward;
  pipeline::EvaluateSettings settings;
  std::string quantized, report, sidecar;
  bool json = false;
  bool coherence = false;
};

pipeline::EvaluateSettings settings_of(const EvaluateOptions& options) {
  auto settings = options.settings;
  if (!options.quantized.empty()) settings.quantized = options.quantized;
  if (!options.sidecar.empty()) settings.sidecar = options.sidecar;
  settings.corpus = corpus_settings(options.corpus);
  settings.precision = precision_of(options.forward);
  settings.memory_bytes = memory_bytes_of(options.forward);
  settings.scratch_folder = options.forward.scratch_folder;
  settings.threads = options.common.threads;
  if (options.coherence) {
    settings.coherence = pipeline::CoherenceSettings{
        .precision = settings.precision, .threads = settings.threads, .memory_bytes = settings.memory_bytes};
  }
  return settings;
}

void print_model(std::string_view label, const EvaluatedModel& model) {
  fmt::print("{:<10} {}\n", label, model.path);
  fmt::print("           {} tensors in {} of files, {:.4f} bits per weight\n",
             format_bytes(model.size.tensor_bytes), format_bytes(model.size.file_bytes),
             model.size.bits_per_weight());
  fmt::print("           perplexity {:.4f} +/- {:.4f}\n", model.perplexity.value,
             model.perplexity.standard_error);
}

void print_change(const PredictionChange& change) {
  const auto& kl = change.kl_quantiles;
  fmt::print("perplexity change        {:+.3f} %, log ratio {:.6f} +/- {:.6f}\n", change.perplexity_delta_pct,
             change.perplexity_log_ratio.value, change.perplexity_log_ratio.standard_error);
  fmt::print("KL divergence            mean {:.6f} +/- {:.6f}\n", change.kl_divergence.value,
             change.kl_divergence.standard_error);
  fmt::print(
      "                         median {:.6f}, 90 % {:.6f}, 95 % {:.6f}, 99 % {:.6f}, 99.9 % {:.6f}, "
      "maximum {:.6f}\n",
      kl.median, kl.p90, kl.p95, kl.p99, kl.p99_9, kl.maximum);
  fmt::print("same most probable token {:.3f} +/- {:.3f} %\n", change.top_1_agreement_pct.value,
             change.top_1_agreement_pct.standard_error);
  fmt::print("probability change       mean {:+.3f} %, root mean square {:.3f} +/- {:.3f} %\n",
             change.probability_change_mean_pct.value, change.probability_change_rms_pct.value,
             change.probability_change_rms_pct.standard_error);
}

void print_tensor(const TensorError& tensor) {
  const auto weighted = tensor.error.weighted_relative();
  fmt::print("    {:<28} {:<8} {:<8} {:>12.4e} {:>12}\n", tensor.name, name_of(tensor.original_type),
             name_of(tensor.quantized_type), tensor.error.relative(),
             weighted ? fmt::format("{:.4e}", *weighted) : "-");
}

void print_layers(const Evaluation& evaluation, bool verbose) {
  fmt::print("{:<8} {:>24}\n", "layer", "relative output error");
  for (const auto& layer : evaluation.layers) {
    fmt::print("{:<8} {:>24.4e}\n", layer.layer, layer.relative_output_error());
    if (!verbose) continue;
    for (const auto& tensor : layer.tensors) print_tensor(tensor);
  }
  if (!verbose) return;
  fmt::print("other tensors\n");
  for (const auto& tensor : evaluation.other_tensors) print_tensor(tensor);
}

void print_text(const Evaluation& evaluation, const CommonOptions& common) {
  fmt::print("{} windows of {} tokens, {} of them scored in all\n", evaluation.windows, evaluation.context,
             evaluation.scored_tokens);
  print_model(evaluation.quantized ? "original" : "model", evaluation.original);
  if (!evaluation.quantized) return;
  print_model("quantized", *evaluation.quantized);
  print_change(*evaluation.change);
  if (!common.quiet) print_layers(evaluation, common.verbose);
  if (evaluation.coherence) print_coherence(*evaluation.coherence, !common.quiet);
}

void run(const EvaluateOptions& options) {
  const auto settings = settings_of(options);
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const auto evaluation = pipeline::evaluate(settings, progress, stop_flag());
  const std::string text =
      to_json(evaluation).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (!options.report.empty()) write_file_atomically(options.report, std::as_bytes(std::span(text)));
  if (options.json) {
    fmt::print("{}", text);
  } else {
    print_text(evaluation, options.common);
  }
}

}  // namespace

void add_evaluate(CLI::App& program) {
  auto options = std::make_shared<EvaluateOptions>();
  auto* command = program.add_subcommand(
      "evaluate", "Perplexity of a model; with a quantized one beside it, what quantization cost");
  command->add_option("model", options->settings.model, "Original: GGUF file or Hugging Face folder")
      ->required();
  command->add_option("quantized", options->quantized, "Quantized model to compare with it");
  command->add_option("--sidecar", options->sidecar,
                      "Put back the exact weights that quantize --protect-super-weights=sidecar wrote beside "
                      "the quantized model");
  add_corpus_options(*command, options->corpus);
  add_forward_options(*command, options->forward);
  command->add_flag("--coherence", options->coherence,
                    "Let both models continue the same prompts and compare what they write");
  command->add_flag("--json", options->json, "Print the report as JSON");
  command->add_option("--report", options->report, "Write the report as JSON to this file");
  command->add_option("--pre", options->settings.open.pre_tokenizer,
                      "llama.cpp's name of a folder's pre-tokenizer, where tokenizer.json does not tell it");
  add_common_options(*command, options->common);
  command->footer(
      "\nExample:\n  tessera evaluate model-f16.gguf model-Q4_K_M.gguf -f wiki.test.txt --report "
      "report.json\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
