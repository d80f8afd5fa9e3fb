// The tessera program: hands the arguments to the subcommand and maps errors to exit codes.
//
// 0 done, 1 failed on the way, 2 wrong usage, 3 bad input file, 4 interrupted.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include "command.h"
#include "foundation/base/error.h"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kWrongUsage = 2, kBadInput = 3, kInterrupted = 4 };

struct Command {
  std::string_view name;
  void (*add)(CLI::App& program);
};
constexpr std::array<Command, 12> kCommands = {{
    {"quantize", tessera::cli::add_quantize},
    {"plan", tessera::cli::add_plan},
    {"profiles", tessera::cli::add_profiles},
    {"smoothquant", tessera::cli::add_smoothquant},
    {"convert", tessera::cli::add_convert},
    {"inspect", tessera::cli::add_inspect},
    {"imatrix", tessera::cli::add_imatrix},
    {"evaluate", tessera::cli::add_evaluate},
    {"tokenize", tessera::cli::add_tokenize},
    {"generate", tessera::cli::add_generate},
    {"report", tessera::cli::add_report},
    {"superweights", tessera::cli::add_superweights},
}};

/// The one that the first argument names; all of them for whoever asks for help or mistypes. Declaring the
/// options of all commands is a quarter of the shortest start.
void add_commands(CLI::App& program, std::string_view first_argument) {
  const auto* const named = std::ranges::find(kCommands, first_argument, &Command::name);
  if (named != kCommands.end()) return named->add(program);
  for (const auto& command : kCommands) command.add(program);
}

int fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "tessera: {}\n", message);
  return code;
}

int run(int argc, char** argv) {
  CLI::App program("Tessera makes large language models small.", "tessera");
  program.set_version_flag("--version", "tessera " TESSERA_VERSION);
  program.require_subcommand(1);
  add_commands(program, argc > 1 ? argv[1] : "");
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? kDone : kWrongUsage;
  }
  return kDone;
}

}  // namespace

int main(int argc, char** argv) try { return run(argc, argv); } catch (const tessera::UsageError& error) {
  return fail(kWrongUsage, error.what());
} catch (const tessera::BadFileError& error) {
  return fail(kBadInput, error.what());
} catch (const tessera::InterruptedError& error) {
  return fail(kInterrupted, error.what());
} catch (const std::bad_alloc&) {
  return fail(kFailed, "out of memory");
} catch (const std::exception& error) {
  return fail(kFailed, error.what());
}
