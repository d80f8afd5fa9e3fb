// SIGTERM ends a run cleanly: exit code 4, and the same command goes on to the same bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

/// Starts the program, sends SIGTERM as soon as it has begun to write, and returns its exit code.
int run_and_terminate(std::vector<std::string> arguments, const std::filesystem::path& partial) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::vector<char*> pointers;
    std::string program = TESSERA_PROGRAM;
    pointers.push_back(program.data());
    for (auto& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    ::execv(program.c_str(), pointers.data());
    ::_exit(127);
  }
  int status = 0;
  while (!std::filesystem::exists(partial) && ::waitpid(child, &status, WNOHANG) == 0)
    std::this_thread::yield();
  ::kill(child, SIGTERM);
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(QuantizeSignals, TerminationIsReportedAndTheSameCommandGoesOn) {
  const ScratchFolder folder;
  write_model(folder / "model.gguf", {.layers = 4, .columns = 1024, .rows = 512});
  const std::vector<std::string> whole = {
      "quantize", folder / "model.gguf", "-o", folder / "whole.gguf", "--type", "Q4_K", "--pure",
      "--quiet",  "--threads",           "1"};
  ASSERT_EQ(run_program(whole).exit_code, 0);
  auto command = whole;
  command[3] = folder / "out.gguf";
  const int exit_code = run_and_terminate(command, folder / "out.gguf.partial");
  // On a machine under load the run may have been done before the signal came.
  EXPECT_THAT(exit_code, ::testing::AnyOf(4, 0));
  EXPECT_EQ(std::filesystem::exists(folder / "out.gguf"), exit_code == 0);
  EXPECT_EQ(run_program(command).exit_code, 0);
  EXPECT_EQ(read_whole(folder / "out.gguf"), read_whole(folder / "whole.gguf"));
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("model.gguf", "out.gguf", "whole.gguf"));
}

}  // namespace
}  // namespace tessera::testing
