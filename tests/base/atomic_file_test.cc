#include <gtest/gtest.h>

#include "formats/byte_builder.h"
#include "foundation/base/atomic_file.h"
#include "foundation/base/atomic_file_set.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

using testing::TemporaryFolder;

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

TEST(AtomicFile, AppearsOnlyWithCommitAndReplacesWhatWasThere) {
  const TemporaryFolder folder;
  testing::write_file(folder / "f", "before");
  {
    AtomicFile file(folder / "f");
    file.write_at(0, bytes_of("after"));
    EXPECT_EQ(testing::read_file(folder / "f"), bytes_of("before"));
    file.commit();
  }
  EXPECT_EQ(testing::read_file(folder / "f"), bytes_of("after"));
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  { AtomicFile(folder / "f").write_at(0, bytes_of("text")); }
  EXPECT_TRUE(folder.is_empty());
}

TEST(AtomicFile, HasItsReservedSizeFilledWithZeros) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "f");
  file.reserve(6);
  file.write_at(1, bytes_of("ab"));
  file.commit();
  EXPECT_EQ(testing::read_file(folder / "f"), bytes_of(std::string_view("\0ab\0\0\0", 6)));
}

TEST(AtomicFile, TakesLargeUnalignedWritesInAnyOrder) {
  const TemporaryFolder folder;
  std::vector<std::byte> content(3'000'001);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i % 251);
  AtomicFile file(folder / "f");
  file.reserve(content.size());
  file.write_at(1'000'003, std::span(content).subspan(1'000'003));
  file.write_at(0, std::span(content).first(1'000'003));
  file.commit();
  EXPECT_EQ(testing::read_file(folder / "f"), content);
}

TEST(AtomicFileSet, RemovesTheFilesAlreadyNamedWhenOneCannotBe) {
  const TemporaryFolder folder;
  AtomicFileSet files;
  for (const auto* name : {"first", "second", "third"}) files.add(folder / name, 10);
  std::filesystem::create_directories(folder / "first" / "in the way");
  EXPECT_THROW(files.commit(), IoError);
  EXPECT_FALSE(std::filesystem::exists(folder / "second"));
  EXPECT_FALSE(std::filesystem::exists(folder / "third"));
  EXPECT_FALSE(std::filesystem::exists(folder / "first.partial"));
}

}  // namespace
}  // namespace tessera
