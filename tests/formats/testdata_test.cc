// The files of testdata/formats, which tools/make_format_samples.py makes without Tessera, are read as they
// were meant.
#include <gtest/gtest.h>

#include "formats/byte_builder.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/imatrix/fisher_reader.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/formats/safetensors/safetensors_source.h"
#include "foundation/formats/safetensors/shard_index.h"

namespace tessera {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(TESSERA_TESTDATA) / "formats";

std::vector<float> floats_of(const WeightSource& source, std::string_view tensor) {
  const std::size_t index = source.find(tensor).value();
  std::vector<std::byte> scratch;
  const auto bytes = source.stored_rows(index, {0, source.tensors()[index].rows()}, scratch);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(FormatSamples, GgufWithEveryValueType) {
  const auto file = gguf::open_gguf(kFolder / "every_value_type.gguf");
  const auto& metadata = file->metadata();
  EXPECT_EQ(metadata.text("general.architecture"), "llama");
  for (const auto* key :
       {"scalar.0", "scalar.1", "scalar.2", "scalar.3", "scalar.4", "scalar.5", "scalar.10", "scalar.11"}) {
    EXPECT_EQ(metadata.unsigned_integer(key), 1u) << key;
  }
  EXPECT_EQ(metadata.real("scalar.6"), 1.0);
  EXPECT_EQ(metadata.real("scalar.12"), 1.0);
  EXPECT_EQ(metadata.boolean("scalar.7"), true);
  const gguf::Value* doubles = metadata.find("array.12");
  ASSERT_NE(doubles, nullptr);
  EXPECT_EQ(*doubles, gguf::Value(gguf::Array(std::vector<double>{0, 1, 1})));
  EXPECT_EQ(*metadata.texts("array.text"), (std::vector<std::string>{"", "a", "\xC3\xA4"}));
  EXPECT_TRUE(metadata.texts("array.empty")->empty());

  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensors()[1], (TensorDescriptor{"blk.0.attn_q.weight", ElementType::Q8_0, {2, 32}}));
  EXPECT_EQ(file->tensors()[2].shape, (std::vector<std::uint64_t>{2, 3, 2}));
  EXPECT_EQ(floats_of(*file, "blk.0.attn_norm.weight"), (std::vector<float>{1, 2, 3, 4}));
  std::vector<std::byte> scratch;
  EXPECT_EQ(file->stored_rows(1, {1, 1}, scratch)[0], std::byte{34});
}

TEST(FormatSamples, GgufOfVersion2AndSplit) {
  EXPECT_EQ(floats_of(*gguf::open_gguf(kFolder / "version2.gguf"), "a"), (std::vector<float>{1, 2}));
  const auto split = gguf::open_gguf(kFolder / "split-00001-of-00002.gguf");
  EXPECT_EQ(floats_of(*split, "b"), (std::vector<float>{3, 4}));
  ASSERT_EQ(split->metadata().entries().size(), 1u);
  EXPECT_EQ(split->metadata().text("general.name"), "split");
}

TEST(FormatSamples, ImportanceMatrixOfBothForms) {
  const auto gguf = imatrix::read_imatrix(kFolder / "imatrix.gguf");
  const auto legacy = imatrix::read_imatrix(kFolder / "imatrix.dat");
  EXPECT_EQ(gguf.datasets, std::vector<std::string>{"text.txt"});
  EXPECT_EQ(legacy.datasets, gguf.datasets);
  EXPECT_EQ(gguf.chunk_size, 64u);
  ASSERT_EQ(gguf.entries.size(), 2u);
  EXPECT_EQ(gguf.entries.at("w").signed_sums, (std::vector<float>{-1, 1}));
  EXPECT_EQ(gguf.entries.at("w").importance(0), (std::vector<float>{2, 4}));
  EXPECT_EQ(legacy.entries.at("w").importance(0), (std::vector<float>{2, 4}));
  const auto experts = legacy.entries.at("x").fitted_to(2, 2);
  for (const std::uint64_t expert : {0, 1}) {
    EXPECT_EQ(gguf.entries.at("x").importance(expert), experts->importance(expert));
  }
}

TEST(FormatSamples, ImportanceMatrixWithTesserasStatistics) {
  const auto matrix = imatrix::read_imatrix(kFolder / "imatrix-fisher.gguf");
  EXPECT_EQ(matrix.method, imatrix::ImportanceMethod::fisher);
  EXPECT_EQ(matrix.provenance, (imatrix::Provenance{"0.1.0", "00ff", "ff00", "ctx=64"}));
  EXPECT_EQ(matrix.entries.at("w").maxima, (std::vector<float>{3, 0}));
  EXPECT_EQ(matrix.entries.at("w").sensitivity, 0.5f);
  EXPECT_EQ(matrix.entries.at("x").sensitivity, std::nullopt);
  const imatrix::FisherReader fisher(kFolder / "imatrix-fisher.gguf");
  EXPECT_EQ(fisher.rows("w", {0, 3}), std::vector<float>(6, 1.0f));
  EXPECT_EQ(fisher.rows("x", {1, 1}), (std::vector<float>{2, 3}));
}

TEST(FormatSamples, SafetensorsPlainAndFloat8) {
  const auto plain = safetensors::open_safetensors(kFolder / "plain.safetensors");
  EXPECT_EQ(floats_of(*plain, "a"), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(plain->tensors()[1].type, ElementType::BF16);
  const auto float8 = safetensors::open_safetensors(kFolder / "float8.safetensors");
  ASSERT_EQ(float8->tensors().size(), 1u);
  const auto values = floats_of(*float8, "w");
  ASSERT_EQ(values.size(), 258u);
  EXPECT_EQ(values[127], 1.0f);
  EXPECT_EQ(values[128], 0.5f);
}

TEST(FormatSamples, ShardIndex) {
  const auto bytes = testing::read_file(kFolder / "index.json");
  EXPECT_EQ(safetensors::read_shard_index(bytes, "index.json"),
            (safetensors::WeightMap{{"a", "s1.safetensors"}, {"b", "s2.safetensors"}}));
}

}  // namespace
}  // namespace tessera
