#include "cli/run_program.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

/// In the child: never returns.
[[noreturn]] void become_program(std::vector<std::string> arguments, const std::string& out,
                                 const std::string& err, std::size_t limit_file_bytes) {
  const int out_file = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err_file = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(out_file, STDOUT_FILENO);
  ::dup2(err_file, STDERR_FILENO);
  if (limit_file_bytes > 0) {
    std::signal(SIGXFSZ, SIG_IGN);  // writing beyond the limit then fails with EFBIG
    const rlimit limit{limit_file_bytes, limit_file_bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  std::vector<char*> pointers;
  std::string program = TESSERA_PROGRAM;
  pointers.push_back(program.data());
  for (auto& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  ::execv(program.c_str(), pointers.data());
  ::_exit(127);
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, std::size_t limit_file_bytes) {
  const ScratchFolder folder;
  const std::string out = folder / "out";
  const std::string err = folder / "err";
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) become_program(arguments, out, err, limit_file_bytes);
  int status = 0;
  ::waitpid(child, &status, 0);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, read_whole(out), read_whole(err)};
}

}  // namespace tessera::testing
