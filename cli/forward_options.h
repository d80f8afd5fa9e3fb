// The options of every command that runs the forward pass: precision and memory.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "foundation/kernels/matrix.h"

namespace tessera::cli {

struct ForwardOptions {
  std::string precision = "auto";
  std::string memory = "4G";
  std::filesystem::path scratch_folder;
};

/// Declares --precision.
void add_precision_option(CLI::App& command, ForwardOptions& options);
/// Declares --precision, --memory and --scratch-dir.
void add_forward_options(CLI::App& command, ForwardOptions& options);

/// Empty: the fastest of this machine.
std::optional<kernels::Precision> precision_of(const ForwardOptions& options);
/// Throws UsageError.
std::uint64_t memory_bytes_of(const ForwardOptions& options);

}  // namespace tessera::cli
