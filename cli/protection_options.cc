#include "protection_options.h"

#include <fmt/format.h>

#include "foundation/base/error.h"

namespace tessera::cli {
namespace {

void apply_sidecar_options(const ProtectionOptions& options, pipeline::ProtectionSettings& protection) {
  if (protection.method != ProtectionMethod::sidecar && (options.sidecar_bits || options.sidecar_rank))
    throw UsageError("--sidecar-bits and --sidecar-rank go with --protect-super-weights=sidecar");
  if (options.sidecar_bits) protection.sidecar.max_bits_per_weight = *options.sidecar_bits;
  if (options.sidecar_rank) protection.sidecar.max_rank = *options.sidecar_rank;
}

}  // namespace

void add_protection_options(CLI::App& command, ProtectionOptions& options) {
  const stages::SidecarSettings defaults;
  command
      .add_flag(
          "--protect-super-weights{block}", options.method,
          "[=METHOD] find the few weights that decide the quality and protect them. block: encode their "
          "blocks with care, in the same bytes (default); tensor: store the tensors that hold the most "
          "important ones in 8 bits or more; sidecar: keep exact values in OUT.sidecar.gguf, a LoRA "
          "adapter")
      ->check(CLI::IsMember({"block", "tensor", "sidecar"}));
  command.add_option(
      "--super-weights", options.list,
      "List of super weights to protect, as tessera superweights gives it; else they are found");
  command
      .add_option("--super-weight-notion", options.notion,
                  "Which are found: coverage, the top share by |weight| times the input's root mean square; "
                  "spikes, the scalars behind activation spikes; or both, the default")
      ->check(CLI::IsMember({"coverage", "spikes", "both"}));
  command.add_option("--super-weight-coverage", options.coverage,
                     fmt::format("Share of the weights that coverage asks for, up to {:g} [{:g}]",
                                 stages::kMostCoverage, stages::CoverageSettings{}.coverage));
  command
      .add_option("--sidecar-bits", options.sidecar_bits,
                  fmt::format("sidecar: most bits that it may take for every weight of the model [{:g}]",
                              defaults.max_bits_per_weight))
      ->check(CLI::Range(1e-9, 16.0));
  command
      .add_option(
          "--sidecar-rank", options.sidecar_rank,
          fmt::format("sidecar: most rows or columns of one matrix that it restores [{}]", defaults.max_rank))
      ->check(CLI::Range(1, 1024));
}

void apply_protection_options(const ProtectionOptions& options, pipeline::QuantizeSettings& settings) {
  if (options.method.empty()) {
    if (options.list.empty() && options.notion.empty() && !options.coverage && !options.sidecar_bits &&
        !options.sidecar_rank)
      return;
    throw UsageError(
        "--super-weights, --super-weight-notion, --super-weight-coverage, --sidecar-bits and --sidecar-rank "
        "go with --protect-super-weights[=METHOD]");
  }
  auto& protection = settings.protection.emplace();
  protection.method = *protection_method_from_name(options.method);
  if (!options.list.empty()) protection.list = options.list;
  if (!options.list.empty() && (!options.notion.empty() || options.coverage)) {
    throw UsageError(
        "--super-weights says which weights to protect: leave out --super-weight-notion and "
        "--super-weight-coverage, which are for finding them");
  }
  if (options.notion == "coverage") protection.find.search = pipeline::SuperWeightSearch::coverage;
  if (options.notion == "spikes") protection.find.search = pipeline::SuperWeightSearch::spikes;
  if (options.coverage) protection.find.coverage.coverage = *options.coverage;
  stages::require_coverage(protection.find.coverage.coverage);
  apply_sidecar_options(options, protection);
}

}  // namespace tessera::cli
