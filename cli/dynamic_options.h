// The options of dynamic quantization, for every command that plans one.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "corpus_options.h"
#include "forward_options.h"
#include "pipeline/quantize.h"

namespace tessera::cli {

struct DynamicOptions {
  bool dynamic = false;
  std::string profile, target_size, sensitivity, config, plan, checkpoint;
  std::optional<double> target_bpw, target_compression;
  CorpusOptions corpus;
  ForwardOptions forward;
  std::uint32_t sensitivity_samples = pipeline::TextWalkSettings{}.sensitivity_samples;
  bool no_cache = false;
  std::vector<std::string> evaluate;  ///< texts
  std::uint32_t evaluate_samples = 64;
};

/// Declares --dynamic, --profile, --target-bpw, --target-size, --target-compression, --config, --plan,
/// --sensitivity, the options of texts and of the forward pass, --checkpoint, --no-cache and --evaluate.
void add_dynamic_options(CLI::App& command, DynamicOptions& options);

/// Puts what the options say into `settings`, whose type, imatrix and output are set already. Throws
/// UsageError: options that exclude each other, no target, none of --type, --dynamic and --plan;
/// BadFileError for a wrong configuration.
void apply_dynamic_options(const DynamicOptions& options, pipeline::QuantizeSettings& settings);

}  // namespace tessera::cli
