// tessera quantize: options in, report out.
#include "pipeline/quantize.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "artifacts/recipe.h"
#include "command.h"
#include "foundation/base/atomic_file.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "option_values.h"
#include "progress_display.h"

namespace tessera::cli {
namespace {

struct QuantizeOptions {
  CommonOptions common;
  pipeline::QuantizeSettings settings;
  std::string imatrix, output_type, token_embedding_type, split_max_size, report;
  std::string encoder = "tessera";
  std::vector<std::string> tensor_types;
  bool json = false;
  bool no_resume = false;
};

std::string known_types() {
  std::string lines = "\nTypes:\n";
  for (const auto& recipe : built_in_recipes())
    lines += fmt::format("  {:<10} {}\n", recipe.name, recipe.about);
  return lines;
}

pipeline::QuantizeSettings settings_of(const QuantizeOptions& options) {
  auto settings = options.settings;
  if (!options.imatrix.empty()) settings.imatrix = options.imatrix;
  if (!options.output_type.empty())
    settings.output_type = parse_type("--output-tensor-type", options.output_type);
  if (!options.token_embedding_type.empty()) {
    settings.token_embedding_type = parse_type("--token-embedding-type", options.token_embedding_type);
  }
  for (const auto& text : options.tensor_types) settings.overrides.push_back(parse_tensor_type(text));
  if (!options.split_max_size.empty()) {
    settings.write.split_max_bytes = parse_size("--split-max-size", options.split_max_size);
  }
  settings.checkpoints.resume = !options.no_resume;
  settings.encode.threads = options.common.threads;
  settings.encode.encoder = *codecs::encoder_kind_from_name(options.encoder);
  if (settings.output.empty()) {
    if (!settings.dry_run) throw UsageError("say where to write with -o OUT.gguf (or use --dry-run)");
    settings.output = "out.gguf";
  }
  return settings;
}

std::string error_column(const pipeline::QuantizeReport& report, std::size_t tensor) {
  if (report.errors.empty() || report.plan.tensors[tensor].is_copied()) return "-";
  const auto& error = report.errors[tensor];
  return fmt::format("{:.3e}", error.weighted_relative().value_or(error.relative()));
}

void print_table(const pipeline::QuantizeReport& report, bool verbose) {
  std::size_t width = 6;
  for (const auto& tensor : report.plan.tensors)
    width = std::max(width, printable(tensor.source.name).size());
  fmt::print("{:<{}}  {:<8} {:<8} {:>10} {:>12}  {}\n", "tensor", width, "from", "to", "error", "size",
             "why");
  std::size_t copied = 0;
  for (std::size_t i = 0; i < report.plan.tensors.size(); ++i) {
    const auto& tensor = report.plan.tensors[i];
    if (tensor.is_copied()) ++copied;
    if (tensor.is_copied() && !verbose) continue;
    std::string why(name_of(tensor.reason));
    if (tensor.wanted) why += fmt::format(", fallback: rows do not fit {}", name_of(*tensor.wanted));
    fmt::print("{:<{}}  {:<8} {:<8} {:>10} {:>12}  {}\n", printable(tensor.source.name), width,
               name_of(tensor.source.type), name_of(tensor.target), error_column(report, i),
               format_bytes(tensor.output().bytes()), why);
  }
  if (!verbose) fmt::print("{} tensors copied unchanged\n", copied);
  if (report.importance.origin)
    fmt::print("error: relative squared error, weighted by importance where there is one\n");
}

void print_totals(const pipeline::QuantizeReport& report, bool dry_run) {
  const auto size = size_of(report.plan);
  fmt::print("weights: {}, {:.4f} -> {:.4f} bits per weight ({} -> {})\n", size.weights, size.source_bpw(),
             size.target_bpw(), format_bytes(size.source_bytes), format_bytes(size.target_bytes));
  std::uint64_t file_bytes = 0;
  for (const auto& file : report.files) {
    file_bytes += file.bytes;
    fmt::print("{} {}: {} bytes ({})\n", dry_run ? "would write" : "wrote", file.path.string(), file.bytes,
               format_bytes(file.bytes));
  }
  const double file_bpw =
      size.weights == 0 ? 0 : 8.0 * static_cast<double>(file_bytes) / static_cast<double>(size.weights);
  fmt::print("whole file: {} bytes, {:.4f} bits per weight\n", file_bytes, file_bpw);
}

/// Names of tensors come from the file and may be no valid UTF-8.
std::string json_text(const pipeline::QuantizeReport& report) {
  return to_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

void run(const QuantizeOptions& options) {
  const auto settings = settings_of(options);
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const auto report = pipeline::quantize(settings, progress, stop_flag());
  if (!options.report.empty()) {
    const std::string text = json_text(report) + "\n";
    write_file_atomically(options.report, std::as_bytes(std::span(text)));
  }
  if (options.json) {
    fmt::print("{}\n", json_text(report));
  } else if (!options.common.quiet) {
    print_table(report, options.common.verbose);
    print_totals(report, settings.dry_run);
  }
}

void add_type_options(CLI::App& command, QuantizeOptions& options) {
  auto& settings = options.settings;
  command.add_option("--type,-T", settings.type, "Recipe or tensor type (listed below)")->required();
  command.add_flag("--pure", settings.pure,
                   "This type for every weight matrix, without a recipe's exceptions");
  command.add_option("--imatrix", options.imatrix, "Importance matrix (GGUF or .dat)");
  command.add_option("--output-tensor-type", options.output_type, "Type of the output matrix");
  command.add_option("--token-embedding-type", options.token_embedding_type, "Type of the token embedding");
  command
      .add_option("--tensor-type", options.tensor_types,
                  "PATTERN=TYPE: type of the tensors in whose name the regular expression is found; may be "
                  "repeated, the "
                  "first match counts")
      ->allow_extra_args(false);
  command.add_flag("--leave-output-tensor", settings.leave_output, "Keep output.weight as it is");
  command.add_flag("--allow-requantize", settings.allow_requantize,
                   "Accept tensors that already are quantized");
  command.add_option("--encoder", options.encoder, "tessera, or ggml where libggml was found at build time")
      ->check(CLI::IsMember({"tessera", "ggml"}));
}

void add_output_options(CLI::App& command, QuantizeOptions& options) {
  command.add_option("-o,--output", options.settings.output, "GGUF file to write");
  command.add_option("--split-max-size", options.split_max_size,
                     "Largest size of one file, e.g. 2G; splits the output");
  command.add_flag("--no-resume", options.no_resume,
                   "Start over instead of going on from an interrupted run of the same command");
  command.add_flag("--dry-run", options.settings.dry_run, "Show types and exact sizes; write nothing");
  command.add_flag("--json", options.json, "Print the report as JSON");
  command.add_option("--report", options.report, "Write the report as JSON to this file");
}

}  // namespace

void add_quantize(CLI::App& program) {
  auto options = std::make_shared<QuantizeOptions>();
  auto* command =
      program.add_subcommand("quantize", "Make a model small: GGUF file or Hugging Face folder to GGUF");
  command->add_option("model", options->settings.model, "GGUF file or Hugging Face folder")->required();
  command->add_option("--pre", options->settings.open.pre_tokenizer,
                      "llama.cpp's name of a folder's pre-tokenizer, where tokenizer.json does not tell it");
  add_type_options(*command, *options);
  add_output_options(*command, *options);
  add_common_options(*command, options->common);
  // Listing the types parses every recipe: only when help is asked for.
  command->footer([] {
    return "\nExample:\n  tessera quantize model-f16.gguf -o model-Q4_K_M.gguf --type Q4_K_M\n" +
           known_types();
  });
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
