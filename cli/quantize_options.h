// The options of the commands that decide what a model's tensors become: quantize and plan.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "command.h"
#include "dynamic_options.h"
#include "feedback_options.h"
#include "pipeline/quantize.h"
#include "protection_options.h"

namespace tessera::cli {

struct QuantizeOptions {
  CommonOptions common;
  DynamicOptions dynamic;
  pipeline::QuantizeSettings settings;
  std::string imatrix, output_type, token_embedding_type, split_max_size;
  std::string encoder = "tessera";
  FeedbackOptions feedback;
  ProtectionOptions protection;
  std::vector<std::string> tensor_types;
  bool json = false;
};

/// Declares the model and everything that decides types.
void add_type_options(CLI::App& command, QuantizeOptions& options);

/// The settings that the options say, but for the output. Throws UsageError or BadFileError.
pipeline::QuantizeSettings quantize_settings(const QuantizeOptions& options);

/// The recipes, for --help.
std::string known_types();

}  // namespace tessera::cli
