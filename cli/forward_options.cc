#include "forward_options.h"

#include "option_values.h"

namespace tessera::cli {

void add_precision_option(CLI::App& command, ForwardOptions& options) {
  command
      .add_option("--precision", options.precision,
                  "Of matrix products: f32, bf16, or auto, whichever this machine is faster at")
      ->check(CLI::IsMember({"auto", "f32", "bf16"}))
      ->capture_default_str();
}

void add_forward_options(CLI::App& command, ForwardOptions& options) {
  add_precision_option(command, options);
  command
      .add_option("--memory", options.memory,
                  "Hidden states beyond this size go to a scratch file, e.g. 500M or 8G")
      ->capture_default_str();
  command.add_option("--scratch-dir", options.scratch_folder,
                     "Folder of the scratch file; the system's temporary folder when not given");
}

std::optional<kernels::Precision> precision_of(const ForwardOptions& options) {
  if (options.precision == "auto") return std::nullopt;
  return options.precision == "f32" ? kernels::Precision::f32 : kernels::Precision::bf16;
}

std::uint64_t memory_bytes_of(const ForwardOptions& options) {
  return parse_size("--memory", options.memory);
}

}  // namespace tessera::cli
