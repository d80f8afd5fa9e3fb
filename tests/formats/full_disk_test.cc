// A disk that is full, early or late: a clear error and nothing left behind. The limit on the size of files
// that the system sets for a process stands in for the disk; it is set in a child process.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/formats/safetensors/safetensors_writer.h"

namespace tessera {
namespace {

enum Outcome { kSucceeded = 0, kNamedTheFile = 10, kSaidSomethingElse = 11 };

/// Runs `write` in a child process in which no file can grow beyond `limit_bytes`.
int outcome_with_limit(std::uint64_t limit_bytes, const std::string& file,
                       const std::function<void()>& write) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{limit_bytes, limit_bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write();
    } catch (const IoError& error) {
      ::_exit(std::string(error.what()).find(file) != std::string::npos ? kNamedTheFile : kSaidSomethingElse);
    }
    ::_exit(kSucceeded);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

const std::vector<TensorDescriptor> kTensors{{"a", ElementType::F32, {64, 64}},
                                             {"b", ElementType::F32, {64, 64}}};

TEST(FullDisk, IsFoundWhenAGgufFileIsCreated) {
  const testing::TemporaryFolder folder;
  const auto write = [&] { gguf::create_gguf(folder / "m.gguf", {}, kTensors); };
  EXPECT_EQ(outcome_with_limit(20000, "m.gguf", write), kNamedTheFile);
  EXPECT_TRUE(folder.is_empty());
  EXPECT_EQ(outcome_with_limit(40000, "m.gguf", write), kSucceeded);
  EXPECT_TRUE(folder.is_empty());
}

TEST(FullDisk, InOnePartOfASplitLeavesNoPart) {
  const testing::TemporaryFolder folder;
  const std::vector<TensorDescriptor> tensors{{"a", ElementType::F32, {64}},
                                              {"b", ElementType::F32, {64, 64}}};
  const auto write = [&] { gguf::create_gguf(folder / "m.gguf", {}, tensors, {.split_max_bytes = 1000}); };
  EXPECT_EQ(outcome_with_limit(8000, "m-00002-of-00002.gguf", write), kNamedTheFile);
  EXPECT_TRUE(folder.is_empty());
}

TEST(FullDisk, IsFoundWhenSafetensorsShardsAreCreated) {
  const testing::TemporaryFolder folder;
  const auto write = [&] {
    safetensors::create_safetensors(folder.path(), kTensors, {.shard_max_bytes = 17000});
  };
  EXPECT_EQ(outcome_with_limit(8000, "model-00001-of-00002.safetensors", write), kNamedTheFile);
  EXPECT_TRUE(folder.is_empty());
}

TEST(FullDisk, WhileAnImportanceMatrixIsWrittenLeavesNothing) {
  const testing::TemporaryFolder folder;
  imatrix::ImatrixFile imatrix;
  imatrix.entries["w"] = {10000, std::vector<float>(10000, 1.0f), {1}};
  EXPECT_EQ(outcome_with_limit(8000, "m.dat", [&] { write_imatrix_legacy(folder / "m.dat", imatrix); }),
            kNamedTheFile);
  EXPECT_EQ(outcome_with_limit(8000, "m.gguf", [&] { write_imatrix_gguf(folder / "m.gguf", imatrix); }),
            kNamedTheFile);
  EXPECT_TRUE(folder.is_empty());
}

TEST(FullDisk, KeepsTheFileThatWasThereBefore) {
  const testing::TemporaryFolder folder;
  testing::write_file(folder / "m.gguf", "before");
  const auto write = [&] { gguf::create_gguf(folder / "m.gguf", {}, kTensors)->commit(); };
  EXPECT_EQ(outcome_with_limit(20000, "m.gguf", write), kNamedTheFile);
  EXPECT_EQ(testing::read_file(folder / "m.gguf").size(), 6u);
}

}  // namespace
}  // namespace tessera
