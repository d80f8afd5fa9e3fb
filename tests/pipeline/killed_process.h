// Runs a function in a child process that is killed at one of its system calls: what is then on the disk is
// what a SIGKILL between two file operations leaves.
#pragma once

#include <cstddef>
#include <functional>

namespace tessera::testing {

/// Where the child ends.
enum class ChildEnd { completed, killed, not_traceable };

/// Runs `work` in a fork of this process and kills it with SIGKILL when it is about to make its
/// `operation`-th system call (from 0). `not_traceable`: the system does not allow tracing. `work` must not
/// throw.
ChildEnd run_and_kill_at(std::size_t operation, const std::function<void()>& work);

}  // namespace tessera::testing
