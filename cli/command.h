// What every subcommand shares: how it is added to the program, its common options, its display and its stop
// flag.
//
// A subcommand is one file with one function add_NAME(program), which declares options and a callback. The
// callback calls the library and prints; it reports failure by letting the library's typed errors through
// (main.cc maps them to exit codes).
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "foundation/base/progress.h"
#include "foundation/base/stop_flag.h"

namespace tessera::cli {

void add_quantize(CLI::App& program);
void add_plan(CLI::App& program);
void add_convert(CLI::App& program);
void add_inspect(CLI::App& program);
void add_imatrix(CLI::App& program);
void add_evaluate(CLI::App& program);
void add_tokenize(CLI::App& program);
void add_generate(CLI::App& program);
void add_report(CLI::App& program);
void add_profiles(CLI::App& program);
void add_smoothquant(CLI::App& program);
void add_superweights(CLI::App& program);

/// Options that every command which works on models takes.
struct CommonOptions {
  int threads = 0;  ///< 0: all cores
  bool quiet = false;
  bool verbose = false;
};

/// Declares --threads, --quiet and --verbose.
void add_common_options(CLI::App& command, CommonOptions& options);

/// Set by SIGINT and SIGTERM once the handlers are installed.
StopFlag& stop_flag();
/// The first signal asks the run to stop cleanly; a second one ends the program at once.
void install_stop_handlers();

/// Size for people: "1.23 GiB".
std::string format_bytes(std::uint64_t bytes);

}  // namespace tessera::cli
