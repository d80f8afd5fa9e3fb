// Well-formed safetensors files: what is written is read back, sharded or not; 8-bit floats are decoded on
// the fly.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/byte_builder.h"
#include "foundation/base/error.h"
#include "foundation/formats/safetensors/float8_blocks.h"
#include "foundation/formats/safetensors/safetensors_source.h"
#include "foundation/formats/safetensors/safetensors_writer.h"

namespace tessera::safetensors {
namespace {

using testing::ByteBuilder;
using testing::TemporaryFolder;

std::vector<TensorDescriptor> example() {
  return {
      {"bytes", ElementType::I8, {3}},    {"a", ElementType::F32, {2, 3}}, {"b", ElementType::BF16, {5}},
      {"c", ElementType::F16, {2, 2, 2}}, {"d", ElementType::I64, {1}},    {"scalar", ElementType::F32, {}},
      {"wide", ElementType::F64, {2}},    {"e", ElementType::I32, {2}},    {"f", ElementType::I16, {3}}};
}

/// Bytes that differ from tensor to tensor and from row to row.
std::vector<std::byte> content(const TensorDescriptor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * 7 + tensor.name.front());
  return bytes;
}

void write_example(const std::filesystem::path& folder, const WriteSettings& settings) {
  const auto sink = create_safetensors(folder, example(), settings);
  for (std::size_t i = 0; i < sink->tensors().size(); ++i)
    sink->write_rows(i, 0, content(sink->tensors()[i]));
  sink->commit();
}

void expect_example(const WeightSource& source) {
  std::vector<std::byte> scratch;
  ASSERT_EQ(source.tensors().size(), example().size());
  for (const auto& tensor : example()) {
    const auto found = source.find(tensor.name);
    ASSERT_TRUE(found) << tensor.name;
    EXPECT_EQ(source.tensors()[*found], tensor);
    const auto rows = source.stored_rows(*found, {0, tensor.rows()}, scratch);
    EXPECT_EQ(std::vector(rows.begin(), rows.end()), content(tensor)) << tensor.name;
    source.discard(*found, {0, tensor.rows()});
  }
}

/// A header text with its length in front.
ByteBuilder file_with_header(std::string_view header) {
  ByteBuilder bytes;
  bytes.u64(header.size()).raw(header);
  return bytes;
}

TEST(SafetensorsWriter, OneFileIsReadBackFromTheFolderAndByItsName) {
  const TemporaryFolder folder;
  write_example(folder.path(), {});
  expect_example(*open_safetensors(folder.path()));
  expect_example(*open_safetensors(folder / "model.safetensors"));
}

TEST(SafetensorsWriter, ShardsWithTheirIndexAreReadBackAsOneModel) {
  const TemporaryFolder folder;
  write_example(folder.path(), {.shard_max_bytes = 1});
  EXPECT_TRUE(std::filesystem::exists(folder / "model-00009-of-00009.safetensors"));
  expect_example(*open_safetensors(folder.path()));
  const auto bytes = testing::read_file(folder / "model.safetensors.index.json");
  const auto index = nlohmann::json::parse(reinterpret_cast<const char*>(bytes.data()),
                                           reinterpret_cast<const char*>(bytes.data()) + bytes.size());
  std::uint64_t total = 0;
  for (const auto& tensor : example()) total += tensor.bytes();
  EXPECT_EQ(index["metadata"]["total_size"], total);
}

TEST(SafetensorsWriter, ShardsStayWithinTheirLimit) {
  for (const std::uint64_t limit : {400, 600, 900}) {
    const TemporaryFolder folder;
    write_example(folder.path(), {.shard_max_bytes = limit});
    for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
      if (file.path().extension() != ".safetensors") continue;
      EXPECT_LE(file.file_size(), limit) << file.path();
    }
    expect_example(*open_safetensors(folder.path()));
  }
}

TEST(SafetensorsWriter, EveryTensorIsAlignedToItsElements) {
  const TemporaryFolder folder;
  write_example(folder.path(), {});
  const auto source = open_safetensors(folder.path());
  std::vector<std::byte> scratch;
  for (std::size_t i = 0; i < source->tensors().size(); ++i) {
    const auto address = reinterpret_cast<std::uintptr_t>(source->stored_rows(i, {0, 1}, scratch).data());
    EXPECT_EQ(address % info(source->tensors()[i].type).block_bytes, 0u) << source->tensors()[i].name;
  }
}

TEST(SafetensorsWriter, NothingIsLeftWithoutCommit) {
  const TemporaryFolder folder;
  { const auto sink = create_safetensors(folder.path(), example(), {.shard_max_bytes = 500}); }
  EXPECT_TRUE(folder.is_empty());
}

TEST(SafetensorsWriter, WhatTheFormatCannotHoldIsAUsageError) {
  const TemporaryFolder folder;
  const auto create = [&](std::vector<TensorDescriptor> tensors) {
    create_safetensors(folder.path(), tensors);
  };
  EXPECT_THROW(create({{"a", ElementType::Q8_0, {32}}}), UsageError);
  EXPECT_THROW(create({{"a", ElementType::F32, {0}}}), UsageError);
  EXPECT_THROW(create({{"", ElementType::F32, {1}}}), UsageError);
  EXPECT_THROW(create({{"\xFF", ElementType::F32, {1}}}), UsageError);
  EXPECT_THROW(create({{"a", ElementType::F32, {1}}, {"a", ElementType::F32, {1}}}), UsageError);
  EXPECT_THROW(create_safetensors(folder / "missing", example()), UsageError);
  EXPECT_TRUE(folder.is_empty());
}

TEST(SafetensorsReader, TensorsComeInTheOrderOfTheirData) {
  const TemporaryFolder folder;
  auto bytes = file_with_header(R"({"__metadata__":{"format":"pt"},
      "a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   )");
  testing::write_file(folder / "x.safetensors", bytes.f32(1).f32(2).bytes());
  const auto source = open_safetensors(folder / "x.safetensors");
  EXPECT_EQ(source->tensors()[0].name, "b");
  EXPECT_EQ(source->tensors()[1].name, "a");
}

TEST(SafetensorsReader, TenThousandTensorsAreReadAndFound) {
  const TemporaryFolder folder;
  std::vector<TensorDescriptor> tensors;
  for (int i = 0; i < 10000; ++i) tensors.push_back({"tensor." + std::to_string(i), ElementType::F32, {1}});
  create_safetensors(folder.path(), tensors)->commit();
  const auto source = open_safetensors(folder.path());
  for (const auto& tensor : tensors) ASSERT_TRUE(source->find(tensor.name)) << tensor.name;
}

TEST(Float8, CodesHaveTheValuesOfE4M3) {
  const float one = 1;
  const Float8Scales scales{std::as_bytes(std::span(&one, 1)), ElementType::F32};
  const auto value = [&](unsigned code) {
    const auto byte = static_cast<std::byte>(code);
    float result = 0;
    decode_float8_rows({&byte, 1}, 1, 0, scales, {&result, 1});
    return result;
  };
  EXPECT_EQ(value(0x00), 0.0f);
  EXPECT_EQ(value(0x01), 0x1p-9f);
  EXPECT_EQ(value(0x07), 7 * 0x1p-9f);
  EXPECT_EQ(value(0x08), 0x1p-6f);
  EXPECT_EQ(value(0x38), 1.0f);
  EXPECT_EQ(value(0x7E), 448.0f);
  EXPECT_EQ(value(0xFE), -448.0f);
  EXPECT_TRUE(std::isnan(value(0x7F)));
  EXPECT_TRUE(std::signbit(value(0x80)));
  for (unsigned code = 0; code < 0x7F; ++code) {  // the definition, for every finite code
    const int exponent = static_cast<int>(code >> 3), mantissa = static_cast<int>(code & 7);
    const double expected =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    EXPECT_EQ(value(code), expected) << code;
    EXPECT_EQ(value(code | 0x80), -expected) << code;
  }
}

/// 130 x 131 weights of value 1 under 2 x 2 scales 1, 2, 4, 8, which stand before them in the file.
class Float8File : public ::testing::TestWithParam<bool> {};

TEST_P(Float8File, EdgeTilesArePartialAndScalesDoNotAppear) {
  const bool bfloat = GetParam();
  const std::string scales = bfloat ? R"("dtype":"BF16","shape":[2,2],"data_offsets":[0,8])"
                                    : R"("dtype":"F32","shape":[2,2],"data_offsets":[0,16])";
  const std::string place = bfloat ? "[8,17038]" : "[16,17046]";
  auto bytes =
      file_with_header(R"({"w_scale_inv":{)" + scales +
                       R"(},"w":{"dtype":"F8_E4M3","shape":[130,131],"data_offsets":)" + place + "}}");
  for (const float scale : {1.0f, 2.0f, 4.0f, 8.0f}) {
    if (bfloat) {
      bytes.number(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(scale) >> 16));
    } else {
      bytes.f32(scale);
    }
  }
  bytes.raw(std::string(130 * 131, '\x38'));
  const TemporaryFolder folder;
  testing::write_file(folder / "x.safetensors", bytes.bytes());
  const auto source = open_safetensors(folder / "x.safetensors");
  ASSERT_EQ(source->tensors().size(), 1u);
  EXPECT_EQ(source->tensors()[0], (TensorDescriptor{"w", ElementType::F32, {130, 131}}));
  std::vector<std::byte> scratch;
  const auto rows =
      source->stored_rows(0, {127, 2}, scratch);  // the last row of one tile and the first of the next
  std::vector<float> values(rows.size() / sizeof(float));
  std::memcpy(values.data(), rows.data(), rows.size());
  ASSERT_EQ(values.size(), 2 * 131u);
  EXPECT_EQ(values[127], 1.0f);
  EXPECT_EQ(values[128], 2.0f);
  EXPECT_EQ(values[131 + 127], 4.0f);
  EXPECT_EQ(values[131 + 130], 8.0f);
  source->discard(0, {0, 130});
}

INSTANTIATE_TEST_SUITE_P(ScaleTypes, Float8File, ::testing::Bool(),
                         [](const auto& parameter) { return parameter.param ? "BF16" : "F32"; });

}  // namespace
}  // namespace tessera::safetensors
