// Damaged GGUF files, built field by field: every check of shared/formats/GGUF.md section 1 has its case.
#include <array>

#include "formats/hostile_case.h"
#include "foundation/formats/gguf/gguf_file.h"

namespace tessera::gguf {
namespace {

using testing::ByteBuilder;
using testing::HostileCase;

constexpr std::uint64_t kTwoTo62 = std::uint64_t{1} << 62;
constexpr std::uint64_t kTwoTo63 = std::uint64_t{1} << 63;
/// Bytes before the first key: what follows is at these offsets.
constexpr std::uint64_t kHead = 24;
/// A key or tensor named "name" has its next field here.
constexpr std::uint64_t kAfterName = kHead + 8 + 4;

ByteBuilder head(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
  ByteBuilder bytes;
  bytes.raw("GGUF").u32(version).u64(tensors).u64(keys);
  return bytes;
}

ByteBuilder key(std::uint32_t type) { return head(0, 1).text("name").u32(type); }

ByteBuilder tensor(const std::vector<std::uint64_t>& sizes, std::uint32_t type = 0,
                   std::uint64_t offset = 0) {
  ByteBuilder bytes = head(1, 0);
  bytes.text("name").u32(sizes.size());
  for (const auto size : sizes) bytes.u64(size);
  return bytes.u32(type).u64(offset);
}

/// Two F32 vectors of four weights; the second one's offset is given.
ByteBuilder two_tensors(std::string_view second_name, std::uint64_t second_offset) {
  ByteBuilder bytes = head(2, 0);
  bytes.text("name").u32(1).u64(4).u32(0).u64(0);
  bytes.text(second_name).u32(1).u64(4).u32(0).u64(second_offset);
  return bytes.pad_to(32).zeros(256);
}

std::vector<HostileCase> header_cases() {
  return {
      {"EmptyFile", {}, {"the magic number", "truncated"}, 0},
      {"MagicCutShort", ByteBuilder().raw("GGU").bytes(), {"the magic number"}, 0},
      {"WrongMagic", ByteBuilder().raw("GGML").zeros(60).bytes(), {"not a GGUF file"}, 0},
      {"VersionMissing", ByteBuilder().raw("GGUF").bytes(), {"the version needs 4 bytes"}, 4},
      {"BigEndian", head(0, 0, 0x03000000).bytes(), {"big-endian", "not supported"}, 4},
      {"Version1", head(0, 0, 1).bytes(), {"version 1 is not supported"}, 4},
      {"Version4", head(0, 0, 4).bytes(), {"version 4 is not supported"}, 4},
      {"TensorCountMissing", ByteBuilder().raw("GGUF").u32(3).bytes(), {"the tensor count"}, 8},
      {"KeyCountMissing", ByteBuilder().raw("GGUF").u32(3).u64(0).bytes(), {"key count"}, 16},
      {"TensorCountBeyond63Bits", head(kTwoTo63, 0).bytes(), {"the tensor count", "63 bits"}, 8},
      {"KeyCountBeyond63Bits", head(0, kTwoTo63).bytes(), {"key count", "63 bits"}, 16},
      {"TensorCountBeyondTheFile", head(1000, 0).zeros(64).bytes(), {"1000 tensor infos do not fit"}, kHead},
      {"TensorCountThatWouldExhaustMemory", head(kTwoTo62, 0).zeros(64).bytes(), {"do not fit"}, kHead},
      {"KeyCountBeyondTheFile", head(0, 1000).zeros(64).bytes(), {"1000 metadata keys do not fit"}, kHead},
      {"KeyCountThatWouldExhaustMemory", head(0, kTwoTo62).zeros(64).bytes(), {"do not fit"}, kHead},
      {"TensorsWhereKeysLeaveNoRoom",
       head(1, 1).text("name").u32(0).number('\1').zeros(10).bytes(),
       {"1 tensor infos do not fit"},
       kAfterName + 5},
  };
}

std::vector<HostileCase> key_cases() {
  const auto array = [](std::uint32_t type, std::uint64_t count) {
    return key(9).u32(type).u64(count).zeros(32).bytes();
  };
  constexpr std::uint64_t kElementType = kAfterName + 4, kCount = kElementType + 4, kElements = kCount + 8;
  return {
      {"KeyNameOf2To63Bytes",
       head(0, 1).u64(kTwoTo63).zeros(32).bytes(),
       {"metadata key 0", "string of"},
       kHead},
      {"KeyNameBeyondTheFile",
       head(0, 1).u64(100).zeros(32).bytes(),
       {"metadata key 0", "100 bytes"},
       kHead + 8},
      {"EmptyKey", head(0, 1).text("").u32(0).zeros(8).bytes(), {"metadata key 0", "empty name"}, kHead},
      {"DuplicateKey",
       head(0, 2).text("name").u32(0).zeros(1).text("name").u32(0).zeros(1).bytes(),
       {"'name'", "twice"},
       kAfterName + 5},
      {"ValueTypeMissing", head(0, 1).text("a longer name").bytes(), {"'a longer name'"}, kHead + 21},
      {"UnknownValueType", key(13).zeros(8).bytes(), {"'name'", "value type 13"}, kAfterName},
      {"HugeValueType", key(0xFFFFFFFF).zeros(8).bytes(), {"value type 4294967295"}, kAfterName},
      {"StringValueOf2To63Bytes",
       key(8).u64(kTwoTo63).zeros(8).bytes(),
       {"'name'", "string of"},
       kAfterName + 4},
      {"StringValueBeyondTheFile", key(8).u64(9).zeros(8).bytes(), {"'name'", "9 bytes"}, kAfterName + 12},
      {"StringValueWithLengthOfAllOnes", key(8).u64(~0ull).zeros(8).bytes(), {"'name'"}, kAfterName + 4},
      {"ArrayOfArrays", array(9, 1), {"'name'", "array of arrays"}, kElementType},
      {"ArrayOfUnknownType", array(13, 1), {"'name'", "value type 13"}, kElementType},
      {"ArrayWithoutCount", key(9).u32(0).bytes(), {"'name'"}, kCount},
      {"ArrayCountOf2To63", array(0, kTwoTo63), {"'name'", "array elements"}, kCount},
      {"ArrayCountAboveTheLimit", array(0, (1ull << 30) + 1), {"'name'", "array elements"}, kCount},
      {"ByteArrayBeyondTheFile", array(0, 33), {"'name'", "33", "do not fit"}, kElements},
      {"DoubleArrayThatWouldExhaustMemory", array(12, 1ull << 30), {"'name'", "do not fit"}, kElements},
      {"StringArrayBeyondTheFile", array(8, 5), {"'name'", "5", "do not fit"}, kElements},
      {"StringOfAnArrayBeyondTheFile",
       key(9).u32(8).u64(2).text("").u64(99).zeros(8).bytes(),
       {"'name'", "99 bytes"},
       kElements + 16},
      {"ControlCharactersOfAKeyAreEscaped",
       head(0, 1).text("\x1B[2J").u32(13).zeros(8).bytes(),
       {"'\\x1B[2J'"},
       {}},
      {"AHugeKeyIsCutInTheMessage",
       head(0, 1).text(std::string(5000, 'k')).u32(13).zeros(8).bytes(),
       {"kkk...'"},
       {}},
  };
}

/// Every scalar type with its last byte missing.
std::vector<HostileCase> truncated_value_cases() {
  struct Scalar {
    const char* name;
    std::uint32_t id;
    std::size_t bytes;
  };
  constexpr std::array<Scalar, 12> kScalars{{{"Uint8", 0, 1},
                                             {"Int8", 1, 1},
                                             {"Uint16", 2, 2},
                                             {"Int16", 3, 2},
                                             {"Uint32", 4, 4},
                                             {"Int32", 5, 4},
                                             {"Float32", 6, 4},
                                             {"Bool", 7, 1},
                                             {"String", 8, 8},
                                             {"Uint64", 10, 8},
                                             {"Int64", 11, 8},
                                             {"Float64", 12, 8}}};
  std::vector<HostileCase> cases;
  for (const auto& scalar : kScalars) {
    auto bytes = head(0, 1).text("longer").u32(scalar.id).zeros(scalar.bytes - 1);
    cases.push_back(
        {std::string("Truncated") + scalar.name, bytes.bytes(), {"metadata key 'longer' needs"}, kHead + 18});
  }
  return cases;
}

std::vector<HostileCase> alignment_cases() {
  const auto with = [](std::uint32_t type, std::uint64_t value) {
    return head(0, 1).text("general.alignment").u32(type).u64(value).bytes();
  };
  const std::string name = "'general.alignment'";
  return {
      {"AlignmentZero", with(4, 0), {name, "power of two", "not 0"}},
      {"AlignmentNotAPowerOfTwo", with(4, 48), {name, "not 48"}},
      {"AlignmentOfAnotherType", with(10, 32), {name, "uint32"}},
      {"AlignmentAsText", head(0, 1).text("general.alignment").u32(8).text("32").bytes(), {name, "uint32"}},
      {"AlignmentBeyondTheFile",
       head(1, 1)
           .text("general.alignment")
           .u32(4)
           .u32(1u << 31)
           .text("t")
           .u32(1)
           .u64(1)
           .u32(0)
           .u64(0)
           .zeros(64)
           .bytes(),
       {"'t'", "truncated"},
       1ull << 31},
  };
}

std::vector<HostileCase> info_cases() {
  constexpr std::uint64_t kSizes = kAfterName + 4;
  std::vector<HostileCase> cases{
      {"TensorNameOf2To63Bytes",
       head(1, 0).u64(kTwoTo63).zeros(32).bytes(),
       {"tensor 0", "string of"},
       kHead},
      {"TensorNameBeyondTheFile", head(1, 0).u64(40).zeros(32).bytes(), {"tensor 0", "40 bytes"}, kHead + 8},
      {"TensorWithoutName",
       head(1, 0).text("").u32(0).u32(0).u64(0).zeros(64).bytes(),
       {"empty name"},
       kHead},
      {"TensorNameOf64Bytes",
       head(1, 0).text(std::string(64, 'n')).zeros(64).bytes(),
       {"nnn", "64 bytes"},
       kHead},
      {"DuplicateTensorName", two_tensors("name", 32).bytes(), {"'name'", "two tensors"}, kHead + 36},
      {"DimensionsMissing",
       head(1, 0).text("a name that leaves no room").bytes(),
       {"'a name that"},
       kHead + 34},
      {"FiveDimensions", tensor({1, 1, 1, 1, 1}).bytes(), {"'name'", "5 dimensions"}, kAfterName},
      {"HugeNumberOfDimensions",
       head(1, 0).text("name").u32(0xFFFFFFFF).zeros(64).bytes(),
       {"dimensions"},
       kAfterName},
      {"SizesMissing",
       head(1, 0).text("name").u32(2).u64(1).bytes(),
       {"'name'", "needs 8 bytes"},
       kSizes + 8},
      {"SizeZero", tensor({4, 0}).bytes(), {"'name'", "dimension 1 is zero"}, kSizes + 8},
      {"SizeBeyond63Bits", tensor({kTwoTo63}).bytes(), {"'name'", "63 bits"}, kSizes},
      {"SizeOfAllOnes", tensor({1, ~0ull}).bytes(), {"'name'", "dimension 1", "63 bits"}, kSizes + 8},
      {"ProductOfSizesBeyond63Bits",
       tensor({1ull << 32, 1ull << 31}).bytes(),
       {"'name'", "product"},
       kSizes + 8},
      {"ProductOfSizesWrappingToSmall",
       tensor({1ull << 32, 1ull << 32, 2}).bytes(),
       {"'name'", "product"},
       kSizes + 8},
      {"BytesBeyond63Bits", tensor({kTwoTo62}, 28).bytes(), {"'name'", "size in bytes"}, kSizes + 8},
      {"TypeMissing", head(1, 0).text("name").u32(1).u64(1).bytes(), {"'name'"}, kSizes + 8},
      {"OffsetMissing", head(1, 0).text("name").u32(1).u64(1).u32(0).bytes(), {"'name'"}, kSizes + 12},
      {"UnknownTypeJustBeyondTheLast",
       tensor({1}, 43).bytes(),
       {"'name'", "unknown tensor type 43"},
       kSizes + 8},
      {"UnknownTypeOfAllOnes",
       tensor({1}, 0xFFFFFFFF).bytes(),
       {"unknown tensor type 4294967295"},
       kSizes + 8},
      {"RowNotWholeBlocks", tensor({255, 2}, 12).bytes(), {"'name'", "255", "Q4_K", "256"}, kSizes + 16},
      {"RowsTogetherButNotEachWholeBlocks", tensor({16, 2}, 8).bytes(), {"'name'", "Q8_0"}, kSizes + 16},
  };
  for (const std::uint32_t id : {4, 5, 31, 32, 33, 36, 37, 38}) {
    cases.push_back({"RetiredType" + std::to_string(id),
                     tensor({256}, id).bytes(),
                     {"'name'", "type " + std::to_string(id) + " is retired"},
                     kSizes + 8});
  }
  for (const std::uint32_t id : {9, 15}) {
    cases.push_back({"ScratchType" + std::to_string(id),
                     tensor({256}, id).bytes(),
                     {"'name'", "type " + std::to_string(id) + " is a scratch format"},
                     kSizes + 8});
  }
  return cases;
}

std::vector<HostileCase> data_cases() {
  constexpr std::uint64_t kOffset = kAfterName + 4 + 8 + 4, kSecondOffset = kOffset + 8 + (8 + 1 + 4 + 8 + 4);
  const auto one = [](std::uint64_t offset, std::size_t data) {
    return tensor({4}, 0, offset).pad_to(32).zeros(data).bytes();
  };
  return {
      {"FirstOffsetNotZero", one(32, 64), {"'name'", "offset is 32", "gap or overlap"}, kOffset},
      {"OffsetOfAllOnes", one(~0ull, 64), {"'name'", "offset is 18446744073709551615"}, kOffset},
      {"OverlappingTensors", two_tensors("b", 0).bytes(), {"'b'", "gap or overlap"}, kSecondOffset},
      {"UnalignedOffset", two_tensors("b", 16).bytes(), {"'b'", "offset is 16"}, kSecondOffset},
      {"GapBetweenTensors", two_tensors("b", 64).bytes(), {"'b'", "offset is 64", "gap"}, kSecondOffset},
      {"DataMissing", tensor({4}).bytes(), {"'name'", "truncated"}, 64},
      {"DataOneByteShort", one(0, 15), {"'name'", "ends at byte 80", "has only 79"}, 64},
      {"TensorLargerThanTheFile", tensor({1ull << 40}).zeros(64).bytes(), {"'name'", "do not fit"}, kOffset},
      {"TensorOfAlmost2To63Bytes",
       tensor({kTwoTo63 - 1}, 24).zeros(64).bytes(),
       {"'name'", "do not fit"},
       kOffset},
  };
}

std::vector<HostileCase> all_cases() {
  std::vector<HostileCase> all;
  for (const auto& group : {header_cases(), key_cases(), truncated_value_cases(), alignment_cases(),
                            info_cases(), data_cases()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

class HostileGguf : public ::testing::TestWithParam<HostileCase> {};

TEST_P(HostileGguf, IsRefusedWithItsPlace) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "hostile.gguf";
  testing::write_file(path, GetParam().bytes);
  testing::expect_refused([&] { open_gguf(path); }, path.string(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, HostileGguf, ::testing::ValuesIn(all_cases()), testing::case_name);

TEST(HostileGguf, TheBuildersOfTheseCasesMakeGoodFilesWhenNothingIsWrong) {
  const testing::TemporaryFolder folder;
  testing::write_file(folder / "a.gguf", two_tensors("b", 32).bytes());
  EXPECT_EQ(open_gguf(folder / "a.gguf")->tensors().size(), 2u);
  testing::write_file(folder / "b.gguf", tensor({256, 2}, 12).pad_to(32).zeros(288).bytes());
  EXPECT_EQ(open_gguf(folder / "b.gguf")->tensors()[0].rows(), 2u);
  testing::write_file(folder / "c.gguf", key(4).u32(7).bytes());
  EXPECT_EQ(open_gguf(folder / "c.gguf")->metadata().unsigned_integer("name"), 7u);
}

TEST(HostileGguf, AMissingFileAndAFolderAreRefused) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(open_gguf(folder / "missing.gguf"), BadFileError);
  EXPECT_THROW(open_gguf(folder.path()), BadFileError);
}

}  // namespace
}  // namespace tessera::gguf
