// Split GGUF models whose parts do not fit together.
#include "formats/hostile_case.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/gguf/gguf_writer.h"

namespace tessera::gguf {
namespace {

using testing::HostileCase;

Metadata split_keys(std::uint16_t number, std::uint16_t count, std::int32_t tensors) {
  Metadata metadata;
  metadata.set("split.no", number);
  metadata.set("split.tensors.count", tensors);
  metadata.set("split.count", count);
  return metadata;
}

class HostileSplit : public ::testing::Test {
 protected:
  /// Writes one part with one tensor. The writer drops split keys, so they go in under names of the same
  /// length.
  void write_part(const std::string& file, const Metadata& metadata, const std::string& tensor) {
    Metadata hidden;
    for (const auto& [key, value] : metadata.entries()) hidden.set("SPLIT" + key.substr(5), value);
    create_gguf(folder_ / file, hidden, {{tensor, ElementType::F32, {1}}})->commit();
    auto bytes = testing::read_file(folder_ / file);
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (auto at = text.find("SPLIT"); at != text.npos; at = text.find("SPLIT", at))
      text.replace(at, 5, "split");
    testing::write_file(folder_ / file, text);
  }

  void expect_refused(const std::string& opened, const std::string& blamed,
                      const std::vector<std::string>& says) {
    testing::expect_refused([&] { open_gguf(folder_ / opened); }, (folder_ / blamed).string(),
                            HostileCase{"Split", {}, says});
  }

  const std::string first_ = "m-00001-of-00002.gguf";
  const std::string second_ = "m-00002-of-00002.gguf";
  testing::TemporaryFolder folder_;
};

TEST_F(HostileSplit, GoodPartsAreAccepted) {
  write_part(first_, split_keys(0, 2, 2), "a");
  write_part(second_, split_keys(1, 2, 2), "b");
  EXPECT_EQ(open_gguf(folder_ / first_)->tensors().size(), 2u);
}

TEST_F(HostileSplit, AWholeFileMayKeepASplitCountOfNoneOrOne) {
  for (const std::uint16_t count : {std::uint16_t{0}, std::uint16_t{1}}) {
    write_part("whole.gguf", split_keys(0, count, 1), "a");
    EXPECT_TRUE(open_gguf(folder_ / "whole.gguf")->metadata().entries().empty());
  }
}

TEST_F(HostileSplit, AMissingPartIsNamed) {
  write_part(first_, split_keys(0, 2, 2), "a");
  expect_refused(first_, second_, {"part 2 of 2", "missing", first_});
}

TEST_F(HostileSplit, AnotherThanTheFirstPartIsRefused) {
  write_part(second_, split_keys(1, 2, 2), "b");
  expect_refused(second_, second_, {"part 2 of a model split in 2", "open its first part"});
}

TEST_F(HostileSplit, ARenamedFirstPartIsRefused) {
  write_part("renamed.gguf", split_keys(0, 2, 2), "a");
  expect_refused("renamed.gguf", "renamed.gguf", {"-00001-of-00002.gguf"});
}

TEST_F(HostileSplit, ATensorInTwoPartsIsRefused) {
  write_part(first_, split_keys(0, 2, 2), "same");
  write_part(second_, split_keys(1, 2, 2), "same");
  expect_refused(first_, second_, {"'same'", "earlier part", "at byte"});
}

TEST_F(HostileSplit, APartWithAnothersNumberIsRefused) {
  write_part(first_, split_keys(0, 2, 2), "a");
  write_part(second_, split_keys(0, 2, 2), "b");
  expect_refused(first_, second_, {"says part 1 of 2", "name says part 2 of 2"});
}

TEST_F(HostileSplit, APartOfAnotherSplitIsRefused) {
  write_part(first_, split_keys(0, 2, 2), "a");
  write_part(second_, split_keys(1, 3, 2), "b");
  expect_refused(first_, second_, {"says part 2 of 3"});
}

TEST_F(HostileSplit, AWrongNumberOfTensorsIsRefused) {
  write_part(first_, split_keys(0, 2, 5), "a");
  write_part(second_, split_keys(1, 2, 5), "b");
  expect_refused(first_, first_, {"'split.tensors.count'", "5 tensors", "hold 2"});
}

TEST_F(HostileSplit, MissingOrMistypedSplitKeysAreNamed) {
  Metadata metadata = split_keys(0, 2, 2);
  metadata.erase("split.no");
  write_part(first_, metadata, "a");
  expect_refused(first_, first_, {"'split.no'"});

  metadata = split_keys(0, 2, 2);
  metadata.erase("split.tensors.count");
  write_part(first_, metadata, "a");
  expect_refused(first_, first_, {"'split.tensors.count'"});

  metadata = split_keys(0, 2, -2);
  write_part(first_, metadata, "a");
  expect_refused(first_, first_, {"'split.tensors.count'", "non-negative"});

  metadata.set("split.count", std::string("two"));
  write_part(first_, metadata, "a");
  expect_refused(first_, first_, {"'split.count'"});
}

TEST_F(HostileSplit, ALaterPartWithoutSplitKeysIsRefused) {
  write_part(first_, split_keys(0, 2, 2), "a");
  write_part(second_, {}, "b");
  expect_refused(first_, second_, {"'split.no'"});
}

TEST_F(HostileSplit, ADamagedLaterPartIsNamed) {
  write_part(first_, split_keys(0, 2, 2), "a");
  testing::write_file(folder_ / second_, "GGUF");
  expect_refused(first_, second_, {"the version", "at byte 4"});
}

}  // namespace
}  // namespace tessera::gguf
