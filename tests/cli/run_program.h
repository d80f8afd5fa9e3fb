// Runs the built program and keeps what it said.
#pragma once

#include <string>
#include <vector>

namespace tessera::testing {

struct ProgramResult {
  int exit_code = -1;  ///< 128 + signal when it was killed
  std::string out;
  std::string err;
};

/// `tessera ARGUMENTS...`, with `limit_file_bytes` as the largest file it may write (0: no limit).
ProgramResult run_program(const std::vector<std::string>& arguments, std::size_t limit_file_bytes = 0);

}  // namespace tessera::testing
