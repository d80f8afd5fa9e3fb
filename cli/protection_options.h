// The options of --protect-super-weights.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "pipeline/quantize.h"

namespace tessera::cli {

struct ProtectionOptions {
  std::string method;  ///< empty: no protection
  std::string list;
  std::string notion;
  std::optional<double> coverage;
  std::optional<double> sidecar_bits;
  std::optional<std::uint32_t> sidecar_rank;
};

/// Declares --protect-super-weights, --super-weights, --super-weight-notion, --super-weight-coverage,
/// --sidecar-bits and --sidecar-rank.
void add_protection_options(CLI::App& command, ProtectionOptions& options);

/// Throws UsageError for options of a protection that is not asked for.
void apply_protection_options(const ProtectionOptions& options, pipeline::QuantizeSettings& settings);

}  // namespace tessera::cli
