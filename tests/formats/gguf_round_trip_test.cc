// Well-formed GGUF files: what is written is read back, and files of llama.cpp's tools are rebuilt byte for
// byte.
#include <gtest/gtest.h>

#include <limits>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/gguf/gguf_writer.h"

namespace tessera::gguf {
namespace {

using testing::Bytes;
using testing::TemporaryFolder;

const std::filesystem::path kSamples = std::filesystem::path(TESSERA_SHARED) / "formats/samples";

void copy_tensors(const WeightSource& from, TensorSink& to) {
  std::vector<std::byte> scratch;
  for (std::size_t i = 0; i < from.tensors().size(); ++i) {
    const std::uint64_t rows = from.tensors()[i].rows();
    // In two halves, last half first: rows may arrive in any order.
    to.write_rows(i, rows / 2, from.stored_rows(i, {rows / 2, rows - rows / 2}, scratch));
    to.write_rows(i, 0, from.stored_rows(i, {0, rows / 2}, scratch));
  }
}

void copy_model(const GgufFile& from, const std::filesystem::path& path, const WriteSettings& settings = {}) {
  const auto tensors = from.tensors();
  const auto sink = create_gguf(path, from.metadata(), {tensors.begin(), tensors.end()}, settings);
  copy_tensors(from, *sink);
  sink->commit();
}

Metadata metadata_of_every_type() {
  Metadata metadata;
  metadata.set("a.u8", std::uint8_t{200});
  metadata.set("a.i8", std::int8_t{-100});
  metadata.set("a.u16", std::uint16_t{60000});
  metadata.set("a.i16", std::int16_t{-30000});
  metadata.set("a.u32", std::uint32_t{4000000000u});
  metadata.set("a.i32", std::int32_t{-2000000000});
  metadata.set("a.f32", 1.5f);
  metadata.set("a.bool", true);
  metadata.set("a.text", std::string("gr\xC3\xBC\xC3\x9F"));
  metadata.set("a.u64", std::numeric_limits<std::uint64_t>::max());
  metadata.set("a.i64", std::numeric_limits<std::int64_t>::min());
  metadata.set("a.f64", 2.5);
  metadata.set("b.u8", Array(std::vector<std::uint8_t>{1, 2}));
  metadata.set("b.i8", Array(std::vector<std::int8_t>{-1, 2}));
  metadata.set("b.u16", Array(std::vector<std::uint16_t>{1, 2}));
  metadata.set("b.i16", Array(std::vector<std::int16_t>{-1, 2}));
  metadata.set("b.u32", Array(std::vector<std::uint32_t>{1, 2, 3}));
  metadata.set("b.i32", Array(std::vector<std::int32_t>{-1}));
  metadata.set("b.f32", Array(std::vector<float>{0.5f}));
  metadata.set("b.bool", Array(std::vector<Boolean>{{1}, {0}, {1}}));
  metadata.set("b.text", Array(std::vector<std::string>{"", "one", "two"}));
  metadata.set("b.u64", Array(std::vector<std::uint64_t>{7}));
  metadata.set("b.i64", Array(std::vector<std::int64_t>{-7}));
  metadata.set("b.f64", Array(std::vector<double>{-0.25}));
  metadata.set("b.empty", Array(std::vector<std::string>{}));
  return metadata;
}

TEST(GgufMetadata, EveryValueTypeSurvivesWritingAndReading) {
  const TemporaryFolder folder;
  const Metadata written = metadata_of_every_type();
  create_gguf(folder / "m.gguf", written, {})->commit();
  EXPECT_EQ(open_gguf(folder / "m.gguf")->metadata().entries(), written.entries());
}

TEST(GgufMetadata, AccessorsConvertWhatFitsAndRefuseTheRest) {
  Metadata metadata = metadata_of_every_type();
  EXPECT_EQ(metadata.unsigned_integer("a.u8"), 200u);
  EXPECT_EQ(metadata.unsigned_integer("a.u64"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(metadata.unsigned_integer("a.i8"), std::nullopt);
  EXPECT_EQ(metadata.unsigned_integer("a.bool"), std::nullopt);
  EXPECT_EQ(metadata.real("a.f32"), 1.5);
  EXPECT_EQ(metadata.real("a.f64"), 2.5);
  EXPECT_EQ(metadata.real("a.u8"), std::nullopt);
  EXPECT_EQ(metadata.boolean("a.bool"), true);
  EXPECT_EQ(metadata.text("a.text"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(metadata.text("missing"), std::nullopt);
  ASSERT_NE(metadata.texts("b.text"), nullptr);
  EXPECT_EQ(metadata.texts("b.text")->at(2), "two");
  EXPECT_EQ(metadata.texts("b.u32"), nullptr);
  metadata.erase("a.text");
  EXPECT_FALSE(metadata.contains("a.text"));
}

TEST(GgufWriter, PlannedSizesAreTheSizesOfTheFiles) {
  const TemporaryFolder folder;
  const std::vector<TensorDescriptor> tensors{{"a", ElementType::F32, {3}},
                                              {"b", ElementType::Q4_K, {5, 256}},
                                              {"c", ElementType::Q8_0, {2, 3, 64}},
                                              {"d", ElementType::F16, {}}};
  for (const std::uint64_t limit : {0, 1, 1500, 100000}) {
    const WriteSettings settings{.split_max_bytes = limit};
    const auto planned = plan_gguf(folder / "m.gguf", metadata_of_every_type(), tensors, settings);
    EXPECT_EQ(planned.size(), limit == 1 ? 4u : limit == 1500 ? 2u : 1u);
    const auto sink = create_gguf(folder / "m.gguf", metadata_of_every_type(), tensors, settings);
    for (const auto& file : planned) EXPECT_FALSE(std::filesystem::exists(file.path));
    sink->commit();
    for (const auto& file : planned) {
      EXPECT_EQ(std::filesystem::file_size(file.path), file.bytes) << file.path;
      if (planned.size() > 1) std::filesystem::remove(file.path);
    }
    if (planned.size() == 1) std::filesystem::remove(folder / "m.gguf");
    EXPECT_TRUE(folder.is_empty());
  }
}

TEST(GgufWriter, NothingIsLeftWithoutCommit) {
  const TemporaryFolder folder;
  {
    const auto sink =
        create_gguf(folder / "m.gguf", {}, {{"a", ElementType::F32, {2, 4}}, {"b", ElementType::F32, {2, 4}}},
                    {.split_max_bytes = 1});
  }
  EXPECT_TRUE(folder.is_empty());
}

TEST(GgufWriter, KeysThatDescribeTheInputsLayoutAreReplaced) {
  const TemporaryFolder folder;
  Metadata metadata;
  metadata.set("general.alignment", std::uint32_t{64});
  metadata.set("split.count", std::uint16_t{3});
  metadata.set("kept", std::uint8_t{1});
  create_gguf(folder / "m.gguf", metadata, {{"a", ElementType::F32, {1}}})->commit();
  const auto file = open_gguf(folder / "m.gguf");
  ASSERT_EQ(file->metadata().entries().size(), 1u);
  EXPECT_TRUE(file->metadata().contains("kept"));
  EXPECT_EQ(file->file_bytes() % 32, 0u);
}

TEST(GgufWriter, TensorsThatGgufCannotHoldAreUsageErrors) {
  const auto plan = [](const TensorDescriptor& tensor) { plan_gguf("m.gguf", {}, {tensor, tensor}); };
  EXPECT_THROW(plan({"", ElementType::F32, {1}}), UsageError);
  EXPECT_THROW(plan({std::string(64, 'x'), ElementType::F32, {1}}), UsageError);
  EXPECT_THROW(plan({"a", ElementType::F32, {1, 1, 1, 1, 1}}), UsageError);
  EXPECT_THROW(plan({"a", ElementType::F32, {2, 0}}), UsageError);
  EXPECT_THROW(plan({"same", ElementType::F32, {1}}), UsageError);
}

TEST(GgufWriter, AnOutputInAMissingFolderIsAUsageError) {
  const TemporaryFolder folder;
  EXPECT_THROW(create_gguf(folder / "missing" / "m.gguf", {}, {}), UsageError);
  EXPECT_THROW(create_gguf(folder.path(), {}, {}), UsageError);
  EXPECT_THROW(create_gguf(folder / std::string(300, 'x'), {}, {}), UsageError);
}

TEST(GgufReader, TenThousandTensorsAreFoundByName) {
  const TemporaryFolder folder;
  std::vector<TensorDescriptor> tensors;
  for (int i = 0; i < 10000; ++i) tensors.push_back({"tensor." + std::to_string(i), ElementType::F32, {1}});
  create_gguf(folder / "m.gguf", {}, tensors)->commit();
  const auto file = open_gguf(folder / "m.gguf");
  ASSERT_EQ(file->tensors().size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) ASSERT_EQ(file->find(tensors[i].name), i);
  EXPECT_EQ(file->find("tensor.10000"), std::nullopt);
}

TEST(GgufReader, Version2AndAnotherAlignmentAreRead) {
  testing::ByteBuilder bytes;
  bytes.raw("GGUF").u32(2).u64(2).u64(1);
  bytes.text("general.alignment").u32(4).u32(128);
  bytes.text("a").u32(1).u64(2).u32(0).u64(0);
  bytes.text("b").u32(2).u64(1).u64(2).u32(0).u64(128);
  bytes.pad_to(128).f32(1).f32(2).pad_to(128).f32(3).f32(4);  // no padding after the last tensor
  const TemporaryFolder folder;
  testing::write_file(folder / "m.gguf", bytes.bytes());
  const auto file = open_gguf(folder / "m.gguf");
  EXPECT_EQ(file->tensors()[1].shape, (std::vector<std::uint64_t>{2, 1}));
  std::vector<std::byte> scratch;
  float value = 0;
  std::memcpy(&value, file->stored_rows(1, {1, 1}, scratch).data(), sizeof value);
  EXPECT_EQ(value, 4.0f);
}

TEST(GgufReader, KnowsGgufFilesByTheirMagic) {
  const TemporaryFolder folder;
  create_gguf(folder / "m.gguf", {}, {})->commit();
  testing::write_file(folder / "short", "GGU");
  EXPECT_TRUE(is_gguf(folder / "m.gguf"));
  EXPECT_FALSE(is_gguf(folder / "short"));
  EXPECT_FALSE(is_gguf(folder / "missing"));
}

TEST(GgufSplit, PartsAreReadBackAsOneModel) {
  const TemporaryFolder folder;
  std::vector<TensorDescriptor> tensors;
  for (int i = 0; i < 7; ++i) tensors.push_back({"t" + std::to_string(i), ElementType::F32, {3, 5}});
  const auto sink =
      create_gguf(folder / "m.gguf", metadata_of_every_type(), tensors, {.split_max_bytes = 300});
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::vector<float> data(15, static_cast<float>(i));
    sink->write_rows(i, 0, std::as_bytes(std::span(data)));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "m-00001-of-00007.gguf"));
  sink->commit();
  const auto file = open_gguf(folder / "m-00001-of-00007.gguf");
  EXPECT_EQ(file->metadata().entries(), metadata_of_every_type().entries());
  ASSERT_EQ(file->tensors().size(), 7u);
  std::vector<std::byte> scratch;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(file->tensors()[i], tensors[i]);
    float last = 0;
    std::memcpy(&last, file->stored_rows(i, {2, 1}, scratch).subspan(16).data(), sizeof last);
    EXPECT_EQ(last, static_cast<float>(i));
  }
}

TEST(GgufSamples, FilesOfLlamaCppAreRebuiltByteForByte) {
  if (!std::filesystem::exists(kSamples)) GTEST_SKIP() << "no shared/formats/samples";
  const TemporaryFolder folder;
  for (const auto* name : {"mixed.gguf", "dense.imatrix.gguf", "moe.imatrix.gguf"}) {
    copy_model(*open_gguf(kSamples / name), folder / name);
    EXPECT_EQ(testing::read_file(folder / name), testing::read_file(kSamples / name)) << name;
  }
}

TEST(GgufSamples, SplitFilesGiveTheModelTheyWereSplitFrom) {
  if (!std::filesystem::exists(kSamples)) GTEST_SKIP() << "no shared/formats/samples";
  const TemporaryFolder folder;
  copy_model(*open_gguf(kSamples / "mixed-00001-of-00003.gguf"), folder / "whole.gguf");
  EXPECT_EQ(testing::read_file(folder / "whole.gguf"), testing::read_file(kSamples / "mixed.gguf"));
}

TEST(GgufSamples, FirstPartOfASplitEqualsThatOfLlamaCppButForTheNumberOfParts) {
  if (!std::filesystem::exists(kSamples)) GTEST_SKIP() << "no shared/formats/samples";
  const TemporaryFolder folder;
  const Bytes theirs = testing::read_file(kSamples / "mixed-00001-of-00003.gguf");
  copy_model(*open_gguf(kSamples / "mixed.gguf"), folder / "mixed.gguf", {.split_max_bytes = theirs.size()});
  const Bytes ours = testing::read_file(folder / "mixed-00001-of-00002.gguf");
  ASSERT_EQ(ours.size(), theirs.size());
  std::size_t differing = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) differing += ours[i] != theirs[i];
  EXPECT_EQ(differing, 1u);
}

}  // namespace
}  // namespace tessera::gguf
