#include "feedback_options.h"

#include <fmt/format.h>

#include "foundation/base/error.h"

namespace tessera::cli {

void add_feedback_options(CLI::App& command, FeedbackOptions& options) {
  const pipeline::FeedbackSettings defaults;
  command
      .add_option(
          "--sweeps", options.sweeps,
          fmt::format("feedback: sweeps over scales and codes after the first pass [{}]", defaults.sweeps))
      ->check(CLI::Range(0, 100));
  command
      .add_option(
          "--damping", options.damping,
          fmt::format("feedback: share of the Hessian's mean diagonal added to it [{:g}]", defaults.damping))
      ->check(CLI::Range(1e-6, 10.0));
  command.add_flag("--no-sequential", options.no_sequential,
                   "feedback: do not correct for the errors of earlier layers; half the time");
  command
      .add_option("--feedback-samples", options.samples,
                  fmt::format("feedback: windows of the texts to learn from [{}]",
                              pipeline::TextWalkSettings{}.feedback_samples))
      ->check(CLI::PositiveNumber);
  command
      .add_option(
          "--expert-tokens", options.expert_tokens,
          fmt::format("feedback: experts with fewer tokens for each column take the statistics of all "
                      "experts of the layer [{:g}]",
                      defaults.expert_tokens))
      ->check(CLI::NonNegativeNumber);
  command.add_option("--keep-hessians", options.keep_hessians,
                     "feedback: folder in which the inputs' second moments are kept");
}

void apply_feedback_options(const FeedbackOptions& options, pipeline::QuantizeSettings& settings) {
  auto& feedback = settings.feedback.emplace();
  if (options.sweeps) feedback.sweeps = *options.sweeps;
  if (options.damping) feedback.damping = *options.damping;
  feedback.sequential = !options.no_sequential;
  if (options.expert_tokens) feedback.expert_tokens = *options.expert_tokens;
  if (options.samples) settings.walks.feedback_samples = *options.samples;
  if (!options.keep_hessians.empty()) feedback.keep_hessians = options.keep_hessians;
}

void refuse_feedback_options(const FeedbackOptions& options) {
  if (!options.sweeps && !options.damping && !options.samples && !options.expert_tokens &&
      !options.no_sequential && options.keep_hessians.empty()) {
    return;
  }
  throw UsageError(
      "--sweeps, --damping, --no-sequential, --feedback-samples, --expert-tokens and --keep-hessians go with "
      "--encoder feedback");
}

}  // namespace tessera::cli
