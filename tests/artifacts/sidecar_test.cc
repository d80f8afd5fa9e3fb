// Sidecars: written and read again; damaged ones are refused.
#include "artifacts/sidecar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/tensor/float16.h"
#include "pipeline/small_model.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using testing::read_whole;
using testing::ScratchFolder;
using testing::write_whole;

/// Two weights in one column of a matrix of 4 rows, three in one row and a half of another.
Sidecar sample() {
  Sidecar sidecar;
  sidecar.architecture = "llama";
  sidecar.base_hash = "0123456789abcdef0123456789abcdef";
  sidecar.tensors = {
      {"blk.0.ffn_down.weight", 4, 6, {{1, 5, 2.5f, 0.25f}, {3, 5, -1.5f, -0.5f}}},
      {"blk.1.attn_q.weight", 5, 7, {{2, 0, 1, 0.125f}, {2, 3, 2, 1}, {2, 6, 3, -2}, {4, 6, 8, 4}}}};
  return sidecar;
}

std::vector<float> floats_of(const std::string& file, const std::string& tensor) {
  const auto bytes = std::as_bytes(std::span(file));
  const auto header = gguf::read_header(bytes, "file");
  for (const auto& stored : header.tensors) {
    if (stored.descriptor.name != tensor) continue;
    std::vector<float> values;
    for (std::uint64_t i = 0; i < stored.descriptor.weights(); ++i) {
      std::uint16_t half = 0;
      std::memcpy(&half, bytes.data() + stored.begin + 2 * i, 2);
      values.push_back(float_from_half(half));
    }
    return values;
  }
  return {};
}

TEST(Sidecar, IsReadAsItWasWrittenInAsManyBytesAsPlanned) {
  const ScratchFolder folder;
  write_sidecar(sample(), folder / "s.gguf");
  EXPECT_EQ(read_sidecar(folder / "s.gguf"), sample());
  auto unknown = sample();
  unknown.base_hash.clear();
  EXPECT_EQ(std::filesystem::file_size(folder / "s.gguf"), sidecar_file_bytes(unknown));
}

TEST(Sidecar, WithoutTensorsTakesNoBytes) { EXPECT_EQ(sidecar_file_bytes({}), 0u); }

TEST(Sidecar, PicksTheDirectionOfSmallerRank) {
  EXPECT_FALSE(lines_of(sample().tensors[0]).by_rows);
  EXPECT_THAT(lines_of(sample().tensors[0]).lines, ::testing::ElementsAre(5));
  EXPECT_TRUE(lines_of(sample().tensors[1]).by_rows);
  EXPECT_THAT(lines_of(sample().tensors[1]).lines, ::testing::ElementsAre(2, 4));
}

TEST(Sidecar, AddsTheDifferencesAtTheirPlacesAndNothingElsewhere) {
  const ScratchFolder folder;
  const auto sidecar = sample();
  write_sidecar(sidecar, folder / "s.gguf");
  const auto file = read_whole(folder / "s.gguf");
  for (const auto& tensor : sidecar.tensors) {
    const auto a = floats_of(file, tensor.name + ".lora_a"), b = floats_of(file, tensor.name + ".lora_b");
    const std::size_t rank = lines_of(tensor).lines.size();
    ASSERT_EQ(a.size(), rank * tensor.columns);
    ASSERT_EQ(b.size(), rank * tensor.rows);
    for (std::uint64_t row = 0; row < tensor.rows; ++row) {
      for (std::uint64_t column = 0; column < tensor.columns; ++column) {
        float product = 0, expected = 0;
        for (std::size_t k = 0; k < rank; ++k)
          product += b[row * rank + k] * a[k * tensor.columns + column] / static_cast<float>(rank);
        for (const auto& weight : tensor.weights)
          if (weight.row == row && weight.column == column) expected = weight.difference;
        EXPECT_EQ(product, expected) << tensor.name << " " << row << " " << column;
      }
    }
  }
}

TEST(Sidecar, RefusesADifferenceThatF16CannotHold) {
  const ScratchFolder folder;
  auto sidecar = sample();
  sidecar.tensors[0].weights[0].difference = 1e5f;
  EXPECT_THROW(write_sidecar(sidecar, folder / "s.gguf"), UsageError);
  EXPECT_TRUE(folder.names().empty());
}

/// A file with the parts of the sample's, spoiled.
struct Parts {
  gguf::Metadata metadata;
  std::vector<TensorDescriptor> tensors;
  std::vector<std::vector<std::byte>> data;
};

Parts parts_of(const Sidecar& sidecar) {
  const ScratchFolder folder;
  write_sidecar(sidecar, folder / "s.gguf");
  const auto file = read_whole(folder / "s.gguf");
  const auto bytes = std::as_bytes(std::span(file));
  const auto header = gguf::read_header(bytes, "file");
  Parts parts{header.metadata, {}, {}};
  for (const auto& stored : header.tensors) {
    parts.tensors.push_back(stored.descriptor);
    const auto data = bytes.subspan(stored.begin, stored.bytes);
    parts.data.emplace_back(data.begin(), data.end());
  }
  return parts;
}

std::string refusal_of(const Parts& parts) {
  const ScratchFolder folder;
  const auto sink = gguf::create_gguf(folder / "bad.gguf", parts.metadata, parts.tensors);
  for (std::size_t i = 0; i < parts.data.size(); ++i) sink->write_rows(i, 0, parts.data[i]);
  sink->commit();
  try {
    read_sidecar(folder / "bad.gguf");
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.gguf"));
    return error.what();
  }
  return "accepted";
}

template <class T>
void change_item(gguf::Metadata& metadata, const std::string& key, std::size_t item, T value) {
  auto array = std::get<std::vector<T>>(std::get<gguf::Array>(*metadata.find(key)));
  array.at(item) = value;
  metadata.set(key, gguf::Array(array));
}

struct Damage {
  std::string name;
  std::function<void(Parts&)> damage;
  std::string says;
};

std::vector<Damage> damages() {
  const auto u32 = [](const char* key, std::size_t item, std::uint32_t value) {
    return [=](Parts& parts) {
      change_item<std::uint32_t>(parts.metadata, std::string("tessera.sidecar.") + key, item, value);
    };
  };
  const auto set = [](const char* key, gguf::Value value) {
    return [=](Parts& parts) { parts.metadata.set(key, value); };
  };
  const auto erase = [](const char* key) { return [=](Parts& parts) { parts.metadata.erase(key); }; };
  return {
      {"Model", set("general.type", std::string("model")), "no LoRA adapter"},
      {"OtherAdapter", erase("tessera.sidecar.version"), "no sidecar of Tessera"},
      {"NewerVersion", set("tessera.sidecar.version", std::uint32_t{2}), "tessera.sidecar.version"},
      {"OtherAlpha", set("adapter.lora.alpha", 16.0f), "adapter.lora.alpha"},
      {"NoHash", erase("tessera.sidecar.base_hash"), "tessera.sidecar.base_hash"},
      {"ShortHash", set("tessera.sidecar.base_hash", std::string("abc")), "32 digits"},
      {"NoNames", erase("tessera.sidecar.tensors"), "tessera.sidecar.tensors"},
      {"RowsAsText", set("tessera.sidecar.row", std::string("1")), "tessera.sidecar.row"},
      {"FewerColumns", set("tessera.sidecar.column", gguf::Array(std::vector<std::uint32_t>{1})), "length"},
      {"UnknownTensor", u32("tensor", 5, 2), "below 2"},
      {"TensorsOutOfOrder", u32("tensor", 3, 0), "in order"},
      {"RowOutside", u32("row", 1, 4), "outside of its 4 rows"},
      {"ColumnOutside", u32("column", 0, 6), "6 columns"},
      {"WeightTwice", u32("row", 1, 1), "stands twice"},
      {"NotANumber",
       [](Parts& parts) { change_item(parts.metadata, "tessera.sidecar.value", 2, std::nanf("")); },
       "value at row 2, column 0 is nan"},
      {"OtherPlace", u32("column", 0, 4), "rank is not 2"},
      {"NoPair", [](Parts& parts) { parts.tensors[1].name = "blk.9.lora_b"; }, "does not have it"},
      {"InfiniteDifference", [](Parts& parts) { parts.data[1][2] = {}, parts.data[1][3] = std::byte{0x7C}; },
       "what is added at row 1, column 5 is inf"},
      {"AddsElsewhere", [](Parts& parts) { parts.data[1][0] = std::byte{1}; },
       "not what the sparse form says"},
      {"FurtherTensor",
       [](Parts& parts) {
         parts.tensors.push_back({"more", ElementType::F16, {4}});
         parts.data.emplace_back(8);
       },
       "does not name"},
      {"OtherType", [](Parts& parts) { parts.tensors[0].type = ElementType::BF16; }, "no pair of F16"},
  };
}

TEST(Sidecar, DamagedIsRefusedWithFileAndPlace) {
  for (const auto& [name, damage, says] : damages()) {
    auto parts = parts_of(sample());
    damage(parts);
    EXPECT_THAT(refusal_of(parts), HasSubstr(says)) << name;
  }
}

TEST(Sidecar, CutShortAnywhereIsRefused) {
  const ScratchFolder folder;
  write_sidecar(sample(), folder / "s.gguf");
  const auto file = read_whole(folder / "s.gguf");
  for (std::size_t size = 0; size < file.size(); size += 7) {
    const auto bytes = std::as_bytes(std::span(file)).first(size);
    // What follows the last tensor is padding.
    if (file.size() - size < 32) continue;
    EXPECT_THROW(parse_sidecar(bytes, "cut"), BadFileError) << size;
  }
}

}  // namespace
}  // namespace tessera
