#include "foundation/base/content_hash.h"

#include <gtest/gtest.h>

#include <random>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

using testing::Bytes;
using testing::TemporaryFolder;

Bytes random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

ContentHash hash_of(const std::filesystem::path& path, int threads = 1) {
  return hash_file(path, threads, [](std::uint64_t) {});
}

TEST(ContentHash, IsXxh3WithItsHighHalfFirst) {
  // The specification's value of the empty input.
  EXPECT_EQ(hash_bytes({}).text(), "99aa06d3014798d86001c324468d497f");
}

TEST(ContentHash, PiecesGiveTheHashOfTheWhole) {
  const Bytes bytes = random_bytes(100'000, 1);
  for (const std::size_t piece : {1'000, 7'777, 100'000}) {
    ContentHasher hasher;
    for (std::size_t begin = 0; begin < bytes.size(); begin += piece)
      hasher.add(std::span(bytes).subspan(begin, std::min(piece, bytes.size() - begin)));
    EXPECT_EQ(hasher.hash(), hash_bytes(bytes)) << piece;
  }
}

TEST(ContentHash, FieldsDoNotRunIntoEachOther) {
  ContentHasher left, right;
  left.add_field("ab");
  left.add_field("c");
  right.add_field("a");
  right.add_field("bc");
  EXPECT_NE(left.hash(), right.hash());
}

TEST(ContentHash, OfAFileDoesNotDependOnThreads) {
  const TemporaryFolder folder;
  testing::write_file(folder / "f", random_bytes((std::size_t{9} << 20) + 5, 2));
  for (const int threads : {2, 5}) EXPECT_EQ(hash_of(folder / "f", threads), hash_of(folder / "f"));
}

TEST(ContentHash, OfAFileSeesEveryByteAndTheLength) {
  const TemporaryFolder folder;
  const Bytes bytes = random_bytes((std::size_t{4} << 20) + 100, 3);
  testing::write_file(folder / "f", bytes);
  const auto hash = hash_of(folder / "f");
  for (const std::size_t place : {std::size_t{0}, std::size_t{4} << 20, bytes.size() - 1}) {
    Bytes changed = bytes;
    changed[place] ^= std::byte{1};
    testing::write_file(folder / "g", changed);
    EXPECT_NE(hash_of(folder / "g"), hash) << place;
  }
  testing::write_file(folder / "empty", "");
  testing::write_file(folder / "zero", Bytes(1));
  EXPECT_NE(hash_of(folder / "empty"), hash_of(folder / "zero"));
}

TEST(ContentHash, ReportsWhatIsDoneAndCanBeEndedThere) {
  const TemporaryFolder folder;
  std::filesystem::resize_file((testing::write_file(folder / "f", ""), folder / "f"),
                               std::uint64_t{300} << 20);
  std::vector<std::uint64_t> done;
  const auto stop_at_once = [&](std::uint64_t bytes) {
    done.push_back(bytes);
    throw InterruptedError("enough");
  };
  EXPECT_THROW(hash_file(folder / "f", 1, stop_at_once), InterruptedError);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_LT(done.front(), std::uint64_t{300} << 20);
}

TEST(ContentHash, AFileThatCannotBeReadIsABadFile) {
  const TemporaryFolder folder;
  EXPECT_THROW(hash_of(folder / "absent"), BadFileError);
  EXPECT_THROW(hash_of(folder.path()), BadFileError);
}

}  // namespace
}  // namespace tessera
