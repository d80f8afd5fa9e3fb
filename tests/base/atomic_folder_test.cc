#include "foundation/base/atomic_folder.h"

#include <gtest/gtest.h>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;

void write(const fs::path& path) { testing::write_file(path, "text"); }

TEST(AtomicFolder, AppearsWithItsFilesOnlyWithCommit) {
  const TemporaryFolder scratch;
  AtomicFolder folder(scratch / "out");
  write(folder.path() / "file");
  EXPECT_FALSE(fs::exists(scratch / "out"));
  folder.commit();
  EXPECT_TRUE(fs::exists(scratch / "out" / "file"));
  EXPECT_FALSE(fs::exists(scratch / "out.partial"));
}

TEST(AtomicFolder, LeavesNothingWithoutCommit) {
  const TemporaryFolder scratch;
  {
    const AtomicFolder folder(scratch / "out");
    write(folder.path() / "file");
  }
  EXPECT_TRUE(scratch.is_empty());
}

TEST(AtomicFolder, ReplacesAnEmptyFolderWhateverItIsCalled) {
  const TemporaryFolder scratch;
  fs::create_directory(scratch / "out");
  fs::create_directory_symlink(scratch / "out", scratch / "link");
  AtomicFolder folder(scratch / "link/");
  EXPECT_EQ(folder.path().filename(), "out.partial");
  write(folder.path() / "file");
  folder.commit();
  EXPECT_TRUE(fs::exists(scratch / "link" / "file"));
}

TEST(AtomicFolder, RefusesWhatIsThereAlready) {
  const TemporaryFolder scratch;
  write(scratch / "file");
  fs::create_directory(scratch / "full");
  write(scratch / "full" / "file");
  EXPECT_THROW(AtomicFolder(scratch / "file"), UsageError);
  EXPECT_THROW(AtomicFolder(scratch / "full"), UsageError);
  EXPECT_THROW(AtomicFolder(scratch / "none" / "out"), UsageError);
  EXPECT_FALSE(fs::exists(scratch / "full.partial"));
}

TEST(AtomicFolder, ClearsWhatAKilledRunLeft) {
  const TemporaryFolder scratch;
  fs::create_directory(scratch / "out.partial");
  write(scratch / "out.partial" / "leftover");
  AtomicFolder folder(scratch / "out");
  EXPECT_TRUE(fs::is_empty(folder.path()));
  folder.commit();
  EXPECT_TRUE(fs::is_empty(scratch / "out"));
}

TEST(AtomicFolder, DoesNotClearFoldersThatNoRunMade) {
  const TemporaryFolder scratch;
  fs::create_directories(scratch / "out.partial" / "work");
  write(scratch / "out.partial" / "work" / "file");
  write(scratch / "out.partial" / "file");
  EXPECT_THROW(AtomicFolder(scratch / "out"), UsageError);
  EXPECT_TRUE(fs::exists(scratch / "out.partial" / "file"));
  EXPECT_TRUE(fs::exists(scratch / "out.partial" / "work" / "file"));
}

TEST(AtomicFolder, IsMadeByOneRunAtATime) {
  const TemporaryFolder scratch;
  const AtomicFolder first(scratch / "out");
  write(first.path() / "file");
  EXPECT_THROW(AtomicFolder(scratch / "out"), UsageError);
  EXPECT_TRUE(fs::exists(first.path() / "file"));
}

TEST(AtomicFolder, DoesNotReplaceWhatAppearedInTheMeantime) {
  const TemporaryFolder scratch;
  {
    AtomicFolder folder(scratch / "out");
    fs::create_directory(scratch / "out");
    write(scratch / "out" / "file");
    EXPECT_THROW(folder.commit(), UsageError);
  }
  EXPECT_TRUE(fs::exists(scratch / "out" / "file"));
  EXPECT_FALSE(fs::exists(scratch / "out.partial"));
}

}  // namespace
}  // namespace tessera
