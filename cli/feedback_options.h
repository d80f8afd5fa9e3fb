// The options of --encoder feedback.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "pipeline/quantize.h"

namespace tessera::cli {

struct FeedbackOptions {
  std::optional<int> sweeps;
  std::optional<double> damping;
  std::optional<std::uint32_t> samples;
  std::optional<double> expert_tokens;
  bool no_sequential = false;
  std::string keep_hessians;
};

/// Declares --sweeps, --damping, --no-sequential, --feedback-samples, --expert-tokens and --keep-hessians.
void add_feedback_options(CLI::App& command, FeedbackOptions& options);

/// Turns error feedback on in `settings`.
void apply_feedback_options(const FeedbackOptions& options, pipeline::QuantizeSettings& settings);

/// Throws UsageError when one of the options is given.
void refuse_feedback_options(const FeedbackOptions& options);

}  // namespace tessera::cli
