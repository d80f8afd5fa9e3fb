// tessera convert: options in, one GGUF file or Hugging Face folder out.
#include "pipeline/convert.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "command.h"
#include "foundation/base/error.h"
#include "option_values.h"
#include "progress_display.h"

namespace tessera::cli {
namespace {

struct ConvertOptions {
  CommonOptions common;
  pipeline::ConvertSettings settings;
  std::string type = "auto";
  std::string split_max_size;
};

void run(const ConvertOptions& options) {
  auto settings = options.settings;
  if (options.type != "auto") settings.type = parse_type("--type", options.type);
  if (!options.split_max_size.empty()) {
    settings.write.split_max_bytes = parse_size("--split-max-size", options.split_max_size);
    settings.shard_max_bytes = settings.write.split_max_bytes;
  }
  settings.encode.threads = options.common.threads;
  ProgressDisplay progress(options.common);
  install_stop_handlers();
  const auto report = pipeline::convert(settings, progress, stop_flag());
  if (options.common.quiet) return;
  fmt::print("{} model, {} tensors, {}\n", report.architecture, report.plan.tensors.size(),
             name_of(report.type));
  for (const auto& file : report.files) {
    fmt::print("wrote {}: {} bytes ({})\n", file.path.string(), file.bytes, format_bytes(file.bytes));
  }
}

}  // namespace

void add_convert(CLI::App& program) {
  auto options = std::make_shared<ConvertOptions>();
  auto* command = program.add_subcommand(
      "convert", "Make a GGUF file of a Hugging Face folder, or a folder of either, unquantized");
  command->add_option("model", options->settings.model, "Hugging Face folder or GGUF file")->required();
  command
      ->add_option("-o,--output", options->settings.output,
                   "What to write: a GGUF file where the name ends in .gguf, else a Hugging Face folder")
      ->required();
  command
      ->add_option("--type,-T", options->type,
                   "f32, f16, bf16, or auto: the 16-bit type the model is stored in; for a folder, f32 where "
                   "nothing is stored in 16 bits")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "auto"}, CLI::ignore_case))
      ->capture_default_str();
  command->add_option("--pre", options->settings.open.pre_tokenizer,
                      "llama.cpp's name of the pre-tokenizer, where tokenizer.json does not tell it");
  command->add_option(
      "--split-max-size", options->split_max_size,
      "Largest size of one file, e.g. 2G; splits the output (a folder's weights: at 5G by default)");
  add_common_options(*command, options->common);
  command->footer(
      "\nExample:\n  tessera convert Qwen3-0.6B -o qwen3-0.6b-bf16.gguf --type bf16\n"
      "  tessera convert qwen3-0.6b-bf16.gguf -o qwen3-folder\n");
  command->callback([options] { run(*options); });
}

}  // namespace tessera::cli
