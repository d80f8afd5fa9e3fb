#include "command.h"

#include <fmt/format.h>

#include <array>
#include <csignal>

namespace tessera::cli {
namespace {

extern "C" void on_stop_signal(int signal) {
  stop_flag().request();
  std::signal(signal, SIG_DFL);
}

}  // namespace

void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_option("--threads,-t", options.threads, "Worker threads (default: all cores)")
      ->check(CLI::Range(1, 4096));
  auto* quiet = command.add_flag("--quiet,-q", options.quiet, "Print errors and warnings only");
  command.add_flag("--verbose,-v", options.verbose, "Say more: every tensor, every decision")
      ->excludes(quiet);
}

StopFlag& stop_flag() {
  static StopFlag flag;
  return flag;
}

void install_stop_handlers() {
  stop_flag();  // constructed now, not inside a handler
  std::signal(SIGINT, on_stop_signal);
  std::signal(SIGTERM, on_stop_signal);
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

}  // namespace tessera::cli
