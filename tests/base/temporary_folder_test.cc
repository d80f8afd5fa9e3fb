#include "foundation/base/temporary_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "foundation/base/error.h"
#include "pipeline/small_model.h"

namespace tessera {
namespace {

TEST(TemporaryFolderOfARun, GoesWithAllThatIsInIt) {
  std::filesystem::path path;
  {
    const TemporaryFolder folder;
    path = folder.path();
    std::filesystem::create_directories(path / "deep/deeper");
    testing::write_whole(path / "deep/deeper/file", "content");
    EXPECT_TRUE(std::filesystem::exists(path / "deep/deeper/file"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TemporaryFolderOfARun, IsItsOwnAndForItsOwnerAlone) {
  const TemporaryFolder first;
  const TemporaryFolder second;
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(std::filesystem::status(first.path()).permissions(), std::filesystem::perms::owner_all);
}

TEST(TemporaryFolderOfARun, IsWhereTheSystemIsToldToKeepThem) {
  const testing::ScratchFolder place;
  ::setenv("TMPDIR", place.path().c_str(), 1);
  {
    const TemporaryFolder folder;
    EXPECT_EQ(folder.path().parent_path(), place.path());
  }
  ::unsetenv("TMPDIR");
  EXPECT_TRUE(place.names().empty());
}

TEST(TemporaryFolderOfARun, MayBeRemovedBeforeItsEnd) {
  std::optional<TemporaryFolder> folder(std::in_place);
  std::filesystem::remove_all(folder->path());
  EXPECT_NO_THROW(folder.reset());
}

}  // namespace
}  // namespace tessera
