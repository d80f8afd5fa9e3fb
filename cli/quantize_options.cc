#include "quantize_options.h"

#include <fmt/format.h>

#include "artifacts/recipe.h"
#include "foundation/base/error.h"
#include "option_values.h"

namespace tessera::cli {
namespace {

/// Options that override a recipe have rules in a configuration for their counterpart.
void refuse_overrides(const QuantizeOptions& options) {
  const auto& settings = options.settings;
  const bool overrides = settings.pure || settings.leave_output || !options.output_type.empty() ||
                         !options.token_embedding_type.empty() || !options.tensor_types.empty();
  if (!overrides) return;
  throw UsageError(
      "--pure, --tensor-type, --output-tensor-type, --token-embedding-type and --leave-output-tensor go with "
      "--type; with --dynamic write rules into a file for --config, with --plan edit the plan");
}

}  // namespace

void add_type_options(CLI::App& command, QuantizeOptions& options) {
  auto& settings = options.settings;
  command.add_option("model", settings.model, "GGUF file or Hugging Face folder")->required();
  command.add_option("--pre", settings.open.pre_tokenizer,
                     "llama.cpp's name of a folder's pre-tokenizer, where tokenizer.json does not tell it");
  command.add_option("--type,-T", settings.type, "Recipe or tensor type (listed below)");
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
  command
      .add_option(
          "--encoder", options.encoder,
          "tessera; feedback: learns from texts (-f) how weights make up for each other's errors, much "
          "better at the same size; ggml, where libggml was found at build time")
      ->check(CLI::IsMember({"tessera", "feedback", "ggml"}));
  add_feedback_options(command, options.feedback);
  add_protection_options(command, options.protection);
  command.add_option("--split-max-size", options.split_max_size,
                     "Largest size of one file, e.g. 2G; splits the output");
  add_dynamic_options(command, options.dynamic);
  add_common_options(command, options.common);
}

pipeline::QuantizeSettings quantize_settings(const QuantizeOptions& options) {
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
  settings.encode.threads = options.common.threads;
  apply_dynamic_options(options.dynamic, settings);
  if (options.encoder == "feedback") {
    apply_feedback_options(options.feedback, settings);
  } else {
    settings.encode.encoder = *codecs::encoder_kind_from_name(options.encoder);
    refuse_feedback_options(options.feedback);
  }
  apply_protection_options(options.protection, settings);
  if (settings.type.empty()) refuse_overrides(options);
  return settings;
}

std::string known_types() {
  std::string lines = "\nTypes:\n";
  for (const auto& recipe : built_in_recipes())
    lines += fmt::format("  {:<10} {}\n", recipe.name, recipe.about);
  return lines;
}

}  // namespace tessera::cli
