#include "pipeline/killed_process.h"

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

namespace tessera::testing {
namespace {

constexpr int kNotTraceable = 77;

[[noreturn]] void become_traced(const std::function<void()>& work) {
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(kNotTraceable);
  ::raise(SIGSTOP);
  work();
  ::_exit(0);
}

/// Lets the child run to its next entry of a system call, or its exit from one. False when it has ended.
bool continue_to_system_call(pid_t child, int& status) {
  if (::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) throw std::runtime_error("cannot trace");
  ::waitpid(child, &status, 0);
  return WIFSTOPPED(status);
}

}  // namespace

ChildEnd run_and_kill_at(std::size_t operation, const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) become_traced(work);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotTraceable) return ChildEnd::not_traceable;
  for (std::size_t at = 0;; ++at) {
    if (!continue_to_system_call(child, status)) break;
    if (at == operation) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return ChildEnd::killed;
    }
    if (!continue_to_system_call(child, status)) break;
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("the child failed");
  return ChildEnd::completed;
}

}  // namespace tessera::testing
