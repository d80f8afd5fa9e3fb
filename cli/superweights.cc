// tessera superweights: the few weights that decide a model's quality, and the proof that they do.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "artifacts/super_weight_list.h"
#include "command.h"
#include "corpus_options.h"
#include "forward_options.h"
#include "foundation/base/atomic_file.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "pipeline/ablate_super_weights.h"
#include "pipeline/output_guard.h"
#include "pipeline/super_weights.h"
#include "progress_display.h"

namespace tessera::cli {
namespace {

struct SuperWeightOptions {
  CommonOptions common;
  CorpusOptions corpus;
  ForwardOptions forward;
  pipeline::SuperWeightSettings settings;
  pipeline::AblationSettings ablation;
  std::filesystem::path model, output;
  std::string imatrix, notion = "both", pre_tokenizer;
  std::vector<std::string> evaluate;
  std::uint32_t evaluate_samples = 64;
  std::uint32_t top = 20;
  bool whole_share = false;
  bool ablate = false;
  bool json = false;
  bool no_cache = false;
};

pipeline::SuperWeightSettings settings_of(const SuperWeightOptions& options) {
  using Search = pipeline::SuperWeightSearch;
  auto settings = options.settings;
  settings.search = options.notion == "both"       ? Search::both
                    : options.notion == "coverage" ? Search::coverage
                                                   : Search::spikes;
  if (!options.imatrix.empty()) settings.imatrix = options.imatrix;
  settings.coverage.cut_at_fence = !options.whole_share;
  settings.names_model = options.json || !options.output.empty();
  pipeline::check(settings, !options.corpus.files.empty());
  return settings;
}

pipeline::TextWalkSettings walks_of(const SuperWeightOptions& options) {
  pipeline::TextWalkSettings walks{.corpus = corpus_settings(options.corpus)};
  walks.precision = precision_of(options.forward);
  walks.memory_bytes = memory_bytes_of(options.forward);
  walks.scratch_folder = options.forward.scratch_folder;
  walks.use_cache = !options.no_cache;
  return walks;
}

pipeline::AblationSettings ablation_of(const SuperWeightOptions& options) {
  auto ablation = options.ablation;
  for (const auto& text : options.evaluate) ablation.evaluation.files.push_back({.path = text});
  if (options.evaluate.empty()) ablation.evaluation.files = corpus_settings(options.corpus).files;
  ablation.evaluation.context = options.corpus.settings.context;
  ablation.evaluation.samples = options.evaluate_samples;
  if (!options.imatrix.empty()) ablation.imatrix = options.imatrix;
  ablation.seed = options.corpus.settings.seed;
  return ablation;
}

std::string or_dash(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}g}", *value, digits) : "-";
}

void print_outcomes(const SuperWeightList& list) {
  if (list.coverage) {
    const auto& coverage = *list.coverage;
    fmt::print(
        "coverage: {:g} of {} weights asked, score \"{}\", threshold {:.6g}, outliers from {}: {} found\n",
        coverage.asked, coverage.considered, coverage.score, coverage.threshold, or_dash(coverage.fence, 6),
        coverage.found);
  }
  if (list.spikes) {
    const auto& spikes = *list.spikes;
    fmt::print(
        "activation spikes: {} tokens, spikes from {:g} times the median input and {:g} times the median "
        "output: {} found\n",
        spikes.tokens, spikes.input_ratio, spikes.output_ratio, spikes.found);
  }
}

void print_weights(const SuperWeightList& list, SuperWeightNotion notion, std::uint32_t top) {
  std::uint32_t shown = 0;
  for (const auto& weight : list.weights) {
    if (weight.notion != notion) continue;
    if (shown == 0) {
      fmt::print("\n{:<17} {:<28} {:>8} {:>8} {:>12} {:>12} {:>14}\n", "notion", "tensor", "row", "column",
                 "value", "score", "times block");
    }
    if (shown++ == top) break;
    fmt::print("{:<17} {:<28} {:>8} {:>8} {:>12.6g} {:>12.6g} {:>14}\n", name_of(notion),
               printable(weight.tensor), weight.row, weight.column, weight.value, weight.score,
               or_dash(weight.block_ratio, 4));
  }
  if (shown > top) fmt::print("... (--top N shows more, --json all)\n");
}

void print_ablation(const pipeline::Ablation& ablation) {
  fmt::print("\n{:<58} {:>8} {:>14} {:>9} {:>14}\n", "model", "weights", "perplexity", "ratio",
             "KL divergence");
  fmt::print("{:<58} {:>8} {:>14.4f}\n", "as it is", "", ablation.perplexity.value);
  for (const auto& variant : ablation.variants) {
    fmt::print("{:<58} {:>8} {:>14.4f} {:>9.4f} {:>14.6f}\n", variant.variant, variant.weights,
               variant.perplexity.value, variant.perplexity.value / ablation.perplexity.value,
               variant.kl_divergence.value);
  }
}

std::string text_of(const SuperWeightList& list, const std::optional<pipeline::Ablation>& ablation) {
  auto json = to_json(list);
  if (ablation) json["ablation"] = pipeline::to_json(*ablation);
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void write(const SuperWeightOptions& options, const SuperWeightList& list,
           const std::optional<pipeline::Ablation>& ablation) {
  // A large model has hundreds of thousands of them, and as JSON in memory they take several times their
  // size.
  if (options.json || !options.output.empty()) {
    const std::string text = text_of(list, ablation);
    if (!options.output.empty()) write_file_atomically(options.output, std::as_bytes(std::span(text)));
    if (options.json) fmt::print("{}", text);
  }
  if (options.json) return;
  print_outcomes(list);
  if (options.common.quiet) return;
  print_weights(list, SuperWeightNotion::coverage, options.top);
  print_weights(list, SuperWeightNotion::activation_spike, options.top);
  if (ablation) print_ablation(*ablation);
}

void run(const SuperWeightOptions& options) {
  const auto settings = settings_of(options);
  const auto walks = walks_of(options);
  const auto ablation_settings = ablation_of(options);
  if (options.ablate && ablation_settings.evaluation.files.empty())
    throw UsageError("--ablate evaluates the model: give a text with --evaluate FILE, or with -f FILE");
  if (!options.output.empty())
    pipeline::refuse_writing_over_inputs({options.output}, pipeline::files_of_model(options.model));
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const model::OpenSettings open{.pre_tokenizer = options.pre_tokenizer};
  const auto model = model::open_model(options.model, open);
  pipeline::TextWalkJob job{options.model, model, open, walks};
  job.threads = options.common.threads;
  const auto list = pipeline::find_super_weights(job, settings, progress, stop_flag());
  std::optional<pipeline::Ablation> ablation;
  if (options.ablate)
    ablation = pipeline::ablate_super_weights(job, list, ablation_settings, progress, stop_flag());
  write(options, list, ablation);
}

void add_search_options(CLI::App& command, SuperWeightOptions& options) {
  auto& settings = options.settings;
  command
      .add_option(
          "--notion", options.notion,
          "coverage: the top share of all weights by importance; spikes: down projection weights that "
          "turn a spike of the input into one of the output (arXiv 2411.07191); or both")
      ->check(CLI::IsMember({"coverage", "spikes", "both"}))
      ->capture_default_str();
  command
      .add_option("--coverage", settings.coverage.coverage,
                  fmt::format("Share of the weights, above 0 and up to {:g}", stages::kMostCoverage))
      ->capture_default_str();
  command.add_flag("--whole-share", options.whole_share,
                   "Take the share whole, also where its scores are no outliers of the model");
  command.add_option("--imatrix", options.imatrix,
                     "Importance matrix for the scores, instead of one computed from -f");
  command
      .add_option("--input-ratio", settings.spikes.input_ratio,
                  "An input spikes from so many times the median magnitude at its position on")
      ->capture_default_str();
  command.add_option("--output-ratio", settings.spikes.output_ratio, "The same of an output")
      ->capture_default_str();
  command
      .add_option("--spike-samples", settings.spike_samples, "Windows that are searched for spikes; 0: all")
      ->capture_default_str();
}

void add_ablation_options(CLI::App& command, SuperWeightOptions& options) {
  command.add_flag(
      "--ablate", options.ablate,
      "Prove them: perplexity with the found set to 0, with as many and ten times as many random "
      "ones, with as many of the largest, and of a low-bit model with the found kept exact");
  command
      .add_option("--evaluate", options.evaluate, "Text for --ablate; may be repeated (default: that of -f)")
      ->allow_extra_args(false);
  command.add_option("--evaluate-samples", options.evaluate_samples, "Windows of the evaluation; 0: all")
      ->capture_default_str();
  command.add_option("--type", options.ablation.type, "Of the low-bit model of --ablate")
      ->capture_default_str();
}

}  // namespace

void add_superweights(CLI::App& program) {
  auto options = std::make_shared<SuperWeightOptions>();
  auto* command = program.add_subcommand(
      "superweights", "Find the few weights that decide a model's quality; prove them by ablation");
  command->add_option("model", options->model, "GGUF file or Hugging Face folder")->required();
  add_corpus_options(*command, options->corpus);
  command->get_option("--file")->required(false);
  add_search_options(*command, *options);
  add_ablation_options(*command, *options);
  command->add_flag("--json", options->json, "Print all as JSON");
  command->add_option("-o,--output", options->output, "Write the same JSON to this file");
  command->add_option("--top", options->top, "Weights of each notion that are printed as text")
      ->capture_default_str();
  command->add_flag("--no-cache", options->no_cache,
                    "Neither look for the importance of an equal run nor keep this one's");
  command->add_option("--pre", options->pre_tokenizer,
                      "llama.cpp's name of a folder's pre-tokenizer, where tokenizer.json does not tell it");
  add_forward_options(*command, options->forward);
  add_common_options(*command, options->common);
  command->footer(
      "\nExample:\n  tessera superweights model-f16.gguf -f text.txt -o super-weights.json --ablate\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
