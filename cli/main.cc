// The tessera program: hands the arguments to the subcommand and maps errors to exit codes.
//
// 0 done, 1 failed on the way, 2 wrong usage, 3 bad input file, 4 interrupted.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <exception>
#include <new>

#include "command.h"
#include "foundation/base/error.h"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kWrongUsage = 2, kBadInput = 3, kInterrupted = 4 };

using AddCommand = void (*)(CLI::App&);
constexpr std::array<AddCommand, 12> kCommands = {
    tessera::cli::add_quantize,    tessera::cli::add_plan,     tessera::cli::add_profiles,
    tessera::cli::add_smoothquant, tessera::cli::add_convert,  tessera::cli::add_inspect,
    tessera::cli::add_imatrix,     tessera::cli::add_evaluate, tessera::cli::add_tokenize,
    tessera::cli::add_generate,    tessera::cli::add_report,   tessera::cli::add_superweights,
};

int fail(ExitCode code, const std::string& message) {
  fmt::print(stderr, "tessera: {}\n", message);
  return code;
}

int run(int argc, char** argv) {
  CLI::App program("Tessera makes large language models small.", "tessera");
  program.set_version_flag("--version", "tessera " TESSERA_VERSION);
  program.require_subcommand(1);
  for (const AddCommand add : kCommands) add(program);
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
