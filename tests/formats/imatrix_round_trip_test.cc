// Well-formed importance matrices of both forms, ours and those of llama.cpp's tools.
#include <gtest/gtest.h>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"
#include "foundation/formats/imatrix/fisher_reader.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/formats/imatrix/imatrix_writer.h"

namespace tessera::imatrix {
namespace {

using testing::ByteBuilder;
using testing::TemporaryFolder;

const std::filesystem::path kSamples = std::filesystem::path(TESSERA_SHARED) / "formats/samples";

ImatrixFile example() {
  ImatrixFile imatrix{.datasets = {"text.txt"}, .chunk_count = 3, .chunk_size = 4, .entries = {}};
  imatrix.entries["dense"] = {3, {10, 20, 40}, {10}};
  imatrix.entries["experts"] = {2, {4, 8, 0, 0}, {4, 0}};
  imatrix.entries["unseen"] = {2, {0, 0}, {0}};
  return imatrix;
}

TEST(ImatrixEntry, ImportanceIsTheMeanAndNeutralForExpertsNeverSeen) {
  const Entry entry = example().entries.at("experts");
  EXPECT_EQ(entry.importance(0), (std::vector<float>{1, 2}));
  EXPECT_EQ(entry.importance(1), (std::vector<float>{1, 1}));
}

TEST(ImatrixEntry, ALegacyRowIsCutUpForTheExpertsOfItsTensor) {
  const Entry row{6, {1, 2, 3, 4, 5, 6}, {2}};
  EXPECT_EQ(row.fitted_to(3, 2), (Entry{2, row.sums, {2, 2, 2}}));
  EXPECT_EQ(row.fitted_to(1, 6), row);
  EXPECT_EQ((Entry{2, {1, 2}, {1}, {3, 4}, {}, 0.5f}).fitted_to(2, 1),
            (Entry{1, {1, 2}, {1, 1}, {3, 4}, {}, 0.5f}));
  EXPECT_EQ(row.fitted_to(3, 3), std::nullopt);
  EXPECT_EQ(row.fitted_to(0, 6), std::nullopt);
  EXPECT_EQ((Entry{3, row.sums, {1, 1}}).fitted_to(3, 2), std::nullopt);
}

TEST(ImatrixGguf, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  write_imatrix_gguf(folder / "m.gguf", example());
  const ImatrixFile read = read_imatrix(folder / "m.gguf");
  EXPECT_EQ(read.datasets, example().datasets);
  EXPECT_EQ(read.chunk_count, 3u);
  EXPECT_EQ(read.chunk_size, 4u);
  EXPECT_EQ(read.entries, example().entries);
}

/// Everything the form can hold.
ImatrixFile full_example() {
  ImatrixFile imatrix = example();
  imatrix.entries["dense"].maxima = {1, 0, 3.5f};
  imatrix.entries["dense"].signed_sums = {-4, 0, 7};
  imatrix.entries["dense"].sensitivity = 0.25f;
  imatrix.entries["experts"].maxima = {1, 2, 0, 0};
  imatrix.method = ImportanceMethod::fisher;
  imatrix.provenance = {"0.1.0", "0123", "4567", "ctx=512 samples=8"};
  imatrix.fisher["dense"] = {"dense.fisher", ElementType::F32, {2, 3}};
  imatrix.fisher["experts"] = {"experts.fisher", ElementType::BF16, {2, 3, 2}};
  return imatrix;
}

TEST(ImatrixGguf, ExtraStatisticsMethodAndProvenanceAreReadBack) {
  const TemporaryFolder folder;
  ImatrixFile imatrix = full_example();
  imatrix.fisher.clear();
  write_imatrix_gguf(folder / "m.gguf", imatrix);
  const ImatrixFile read = read_imatrix(folder / "m.gguf");
  EXPECT_EQ(read.entries, imatrix.entries);
  EXPECT_EQ(read.method, ImportanceMethod::fisher);
  EXPECT_EQ(read.provenance, imatrix.provenance);
  EXPECT_TRUE(read.fisher.empty());
}

TEST(ImatrixGguf, FisherDiagonalsAreWrittenInPiecesAndReadByRows) {
  const TemporaryFolder folder;
  const ImatrixFile imatrix = full_example();
  const std::vector<float> dense = {1, 2, 3, 4, 5, 6};
  const std::vector<std::uint16_t> experts(12, 0x3F80);  // bfloat16 1
  ImatrixWriter writer(folder / "m.gguf", imatrix);
  writer.write_fisher_rows("experts", 4, std::as_bytes(std::span(experts)).subspan(16));
  writer.write_fisher_rows("experts", 0, std::as_bytes(std::span(experts)).first(16));
  writer.write_fisher_rows("dense", 0, std::as_bytes(std::span(dense)));
  writer.write_statistics(imatrix.entries);
  EXPECT_FALSE(std::filesystem::exists(folder / "m.gguf"));
  writer.commit();
  const ImatrixFile read = read_imatrix(folder / "m.gguf");
  EXPECT_EQ(read.entries, imatrix.entries);
  EXPECT_EQ(read.fisher, imatrix.fisher);
  const FisherReader reader(folder / "m.gguf");
  EXPECT_FALSE(reader.contains("unseen"));
  EXPECT_EQ(reader.rows("dense", {1, 1}), (std::vector<float>{4, 5, 6}));
  EXPECT_EQ(reader.rows("experts", {2, 3}), std::vector<float>(6, 1.0f));
}

TEST(ImatrixGguf, WithoutTheExtrasTheBytesAreThoseOfTheStockForm) {
  const TemporaryFolder folder;
  write_imatrix_gguf(folder / "m.gguf", example());
  const auto bytes = testing::read_file(folder / "m.gguf");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const char* extra : {"tessera", ".in_max", ".sens", ".fisher"})
    EXPECT_EQ(text.find(extra), std::string_view::npos) << extra;
}

TEST(ImatrixGguf, ExtrasNeedNoShorterNamesThanTheStockForm) {
  const TemporaryFolder folder;
  const std::string name(55, 'x');
  ImatrixFile imatrix;
  imatrix.entries[name] = {1, {1}, {1}, {2}, {-1}, 3.0f};
  imatrix.fisher[name] = {name + ".fisher", ElementType::F32, {1, 1}};
  ImatrixWriter writer(folder / "m.gguf", imatrix);
  writer.write_statistics(imatrix.entries);
  writer.commit();
  EXPECT_EQ(read_imatrix(folder / "m.gguf").entries, imatrix.entries);
}

TEST(ImatrixLegacy, ExtraStatisticsAreLeftOut) {
  const TemporaryFolder folder;
  write_imatrix_legacy(folder / "plain.dat", example());
  write_imatrix_legacy(folder / "full.dat", full_example());
  EXPECT_EQ(testing::read_file(folder / "full.dat"), testing::read_file(folder / "plain.dat"));
}

TEST(ImatrixMethod, EveryNameIsReadBack) {
  for (const auto method : kAllImportanceMethods)
    EXPECT_EQ(importance_method_from_name(name_of(method)), method);
  EXPECT_EQ(importance_method_from_name("Activation"), std::nullopt);
}

TEST(ImatrixGguf, ANameTooLongForTheFormIsAUsageError) {
  const TemporaryFolder folder;
  ImatrixFile imatrix;
  imatrix.entries[std::string(56, 'x')] = {1, {1}, {1}};
  EXPECT_THROW(write_imatrix_gguf(folder / "m.gguf", imatrix), UsageError);
  EXPECT_TRUE(folder.is_empty());
}

TEST(ImatrixLegacy, MeansSurviveAndEntriesWithoutDataAreLeftOut) {
  const TemporaryFolder folder;
  write_imatrix_legacy(folder / "m.dat", example());
  const ImatrixFile read = read_imatrix(folder / "m.dat");
  EXPECT_EQ(read.datasets, example().datasets);
  EXPECT_EQ(read.chunk_count, 3u);
  ASSERT_EQ(read.entries.size(), 2u);
  EXPECT_EQ(read.entries.at("dense").counts.front(), 3u);  // 10 tokens are 3 calls of 4
  EXPECT_EQ(read.entries.at("dense").importance(0), example().entries.at("dense").importance(0));
  const auto experts = read.entries.at("experts").fitted_to(2, 2);
  ASSERT_TRUE(experts);
  EXPECT_EQ(experts->importance(0), (std::vector<float>{1, 2}));
  EXPECT_EQ(experts->importance(1), (std::vector<float>{1, 1}));
}

/// One entry "w" with two values, up to the optional fields at the end.
ByteBuilder legacy_entry(std::int32_t calls) {
  ByteBuilder bytes;
  bytes.i32(1).i32(1).raw("w").i32(calls).i32(2).f32(4).f32(8);
  return bytes;
}

TEST(ImatrixLegacy, TheLastThreeFieldsMayBeMissing) {
  EXPECT_EQ(parse_imatrix(legacy_entry(2).bytes(), "m").chunk_count, 0u);
  const auto with_chunks = parse_imatrix(legacy_entry(2).i32(7).bytes(), "m");
  EXPECT_EQ(with_chunks.chunk_count, 7u);
  EXPECT_TRUE(with_chunks.datasets.empty());
  const auto whole = parse_imatrix(legacy_entry(2).i32(7).i32(3).raw("txt").bytes(), "m");
  EXPECT_EQ(whole.datasets, std::vector<std::string>{"txt"});
}

TEST(ImatrixLegacy, WithoutCallsTheValuesAreUsedAsTheyAre) {
  EXPECT_EQ(parse_imatrix(legacy_entry(2).bytes(), "m").entries.at("w").importance(0),
            (std::vector<float>{2, 4}));
  for (const std::int32_t calls : {0, -5}) {
    EXPECT_EQ(parse_imatrix(legacy_entry(calls).bytes(), "m").entries.at("w").importance(0),
              (std::vector<float>{4, 8}));
  }
}

TEST(ImatrixSamples, LegacyFilesAreRebuiltByteForByte) {
  if (!std::filesystem::exists(kSamples)) GTEST_SKIP() << "no shared/formats/samples";
  const TemporaryFolder folder;
  for (const auto* name : {"dense.imatrix.dat", "moe.imatrix.dat"}) {
    write_imatrix_legacy(folder / name, read_imatrix(kSamples / name));
    EXPECT_EQ(testing::read_file(folder / name), testing::read_file(kSamples / name)) << name;
  }
}

TEST(ImatrixSamples, BothFormsAgree) {
  if (!std::filesystem::exists(kSamples)) GTEST_SKIP() << "no shared/formats/samples";
  for (const std::string name : {"dense", "moe"}) {
    const ImatrixFile gguf = read_imatrix(kSamples / (name + ".imatrix.gguf"));
    const ImatrixFile legacy = read_imatrix(kSamples / (name + ".imatrix.dat"));
    EXPECT_EQ(gguf.datasets, legacy.datasets);
    EXPECT_EQ(gguf.chunk_count, legacy.chunk_count);
    ASSERT_EQ(gguf.entries.size(), legacy.entries.size());
    for (const auto& [key, entry] : gguf.entries) {
      const auto other = legacy.entries.at(key).fitted_to(entry.experts(), entry.columns);
      ASSERT_TRUE(other) << key;
      for (std::uint64_t e = 0; e < entry.experts(); ++e) {
        const auto a = entry.importance(e), b = other->importance(e);
        for (std::size_t c = 0; c < a.size(); ++c) EXPECT_NEAR(a[c], b[c], 1e-6f * a[c] + 1e-12f) << key;
      }
    }
  }
}

TEST(ImatrixSamples, TheGgufFormTurnedLegacyIsWhatLlamaCppWrites) {
  if (!std::filesystem::exists(kSamples)) GTEST_SKIP() << "no shared/formats/samples";
  const TemporaryFolder folder;
  for (const std::string name : {"dense", "moe"}) {
    write_imatrix_legacy(folder / "m.dat", read_imatrix(kSamples / (name + ".imatrix.gguf")));
    const ImatrixFile ours = read_imatrix(folder / "m.dat");
    const ImatrixFile theirs = read_imatrix(kSamples / (name + ".imatrix.dat"));
    for (const auto& [key, entry] : theirs.entries) {
      EXPECT_EQ(ours.entries.at(key).counts, entry.counts) << key;
      for (std::size_t i = 0; i < entry.sums.size(); ++i) {
        EXPECT_FLOAT_EQ(ours.entries.at(key).sums[i], entry.sums[i]) << key;
      }
    }
  }
}

}  // namespace
}  // namespace tessera::imatrix
