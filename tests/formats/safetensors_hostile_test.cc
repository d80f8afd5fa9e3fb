// Damaged safetensors files, headers and indexes.
#include "formats/hostile_case.h"
#include "foundation/formats/safetensors/safetensors_source.h"

namespace tessera::safetensors {
namespace {

using testing::ByteBuilder;
using testing::Bytes;
using testing::HostileCase;

/// Length, header, and `data` zero bytes.
Bytes file_of(std::string_view header, std::size_t data = 8) {
  return ByteBuilder().u64(header.size()).raw(header).zeros(data).bytes();
}

/// A file whose one tensor "w" has this header entry. The name stands at byte 9.
Bytes with_entry(const std::string& entry, std::size_t data = 8) {
  return file_of(R"({"w":)" + entry + "}", data);
}

Bytes with_shape(const std::string& shape) {
  return with_entry(R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,8]})");
}

Bytes with_offsets(const std::string& offsets, std::size_t data = 8) {
  return with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":)" + offsets + "}", data);
}

/// Two F32 vectors of two weights at the given offsets.
Bytes two_tensors(const std::string& first, const std::string& second, std::size_t data) {
  return file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + first +
                     R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + second + "}}",
                 data);
}

std::vector<HostileCase> header_cases() {
  const std::string good = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  return {
      {"EmptyFile", {}, {"the header length needs 8 bytes"}, 0},
      {"LengthCutShort", ByteBuilder().u32(2).bytes(), {"the header length"}, 0},
      {"HeaderBeyondTheFile", ByteBuilder().u64(100).raw("{}").bytes(), {"the header needs 100 bytes"}, 8},
      {"HeaderLengthOf2To63",
       ByteBuilder().u64(1ull << 63).raw("{}").bytes(),
       {"the header length is 9223372036854775808"},
       0},
      {"HeaderLengthOfAllOnes",
       ByteBuilder().u64(~0ull).raw("{}").bytes(),
       {"the header length", "limit"},
       0},
      {"HeaderLengthAboveTheLimit",
       ByteBuilder().u64(100'000'001).raw("{}").bytes(),
       {"the header length", "limit"},
       0},
      {"EmptyHeader", file_of("", 0), {"not valid JSON"}, 8},
      {"HeaderIsNotJson", file_of("not json"), {"not valid JSON"}, {}},
      {"HeaderJsonCutShort", file_of(R"({"w":{"dtype")"), {"not valid JSON"}, {}},
      {"HeaderWithInvalidUtf8", file_of("{\"\xFF\":1}"), {"not valid JSON"}, {}},
      {"HeaderFollowedByMoreJson", file_of("{}{}"), {"not valid JSON"}, {}},
      {"HeaderIsAnArray", file_of("[]", 0), {"not a JSON object"}, 8},
      {"HeaderIsANumber", file_of("1", 0), {"not a JSON object"}, 8},
      {"HeaderNestedTooDeep",
       file_of(std::string(100, '[') + std::string(100, ']')),
       {"nested deeper than 64"},
       {}},
      {"HeaderNestedFarTooDeep", file_of(std::string(1'000'000, '[')), {"nested deeper than 64"}, {}},
      {"DuplicateTensorName",
       file_of(R"({"w":)" + good + R"(,"w":)" + good + "}", 4),
       {"'w'", "twice"},
       8 + (5 + good.size() + 1) + 3},
      {"DuplicateFieldOfAnEntry",
       with_entry(R"({"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]})"),
       {"'dtype'", "twice"},
       {}},
      {"DuplicateMetadata",
       file_of(R"({"__metadata__":{},"__metadata__":{}})", 0),
       {"'__metadata__'", "twice"},
       {}},
      {"MetadataIsNotAnObject", file_of(R"({"__metadata__":[]})", 0), {"'__metadata__'", "strings"}, 9},
      {"MetadataHoldsANumber", file_of(R"({"__metadata__":{"a":1}})", 0), {"'__metadata__'", "strings"}, 9},
      {"EmptyTensorName", file_of(R"({"":)" + good + "}", 4), {"empty name"}, 9},
  };
}

std::vector<HostileCase> entry_cases() {
  constexpr std::uint64_t kName = 9;
  const std::string w = "'w'";
  return {
      {"EntryIsNotAnObject", with_entry("3"), {w, "not a JSON object"}, kName},
      {"DtypeMissing", with_entry(R"({"shape":[2],"data_offsets":[0,8]})"), {w, "no \"dtype\""}, kName},
      {"DtypeIsANumber",
       with_entry(R"({"dtype":1,"shape":[2],"data_offsets":[0,8]})"),
       {w, "\"dtype\" is not a string"},
       kName},
      {"DtypeUnknown",
       with_entry(R"({"dtype":"F31","shape":[2],"data_offsets":[0,8]})"),
       {w, "'F31'", "not supported"},
       kName},
      {"DtypeWithoutCounterpart",
       with_entry(R"({"dtype":"F8_E5M2","shape":[8],"data_offsets":[0,8]})"),
       {w, "'F8_E5M2'"},
       kName},
      {"ShapeMissing", with_entry(R"({"dtype":"F32","data_offsets":[0,8]})"), {w, "no \"shape\""}, kName},
      {"ShapeIsANumber", with_shape("2"), {w, "\"shape\" is not an array"}, kName},
      {"ShapeHoldsText", with_shape(R"(["2"])"), {w, "shape holds something other"}, kName},
      {"ShapeHoldsAFraction", with_shape("[2.0]"), {w, "shape holds something other"}, kName},
      {"ShapeIsNegative", with_shape("[-2]"), {w, "shape holds something other"}, kName},
      {"ShapeBeyond64Bits", with_shape("[18446744073709551616]"), {w, "shape holds something other"}, kName},
      {"ShapeBeyond63Bits", with_shape("[9223372036854775808]"), {w, "63 bits"}, kName},
      {"DimensionZero", with_shape("[2,0]"), {w, "zero"}, kName},
      {"ProductWrappingToTwo", with_shape("[4294967296,4294967296,2]"), {w, "product"}, kName},
      {"BytesBeyond63Bits", with_shape("[4611686018427387904]"), {w, "size in bytes"}, kName},
      {"OffsetsMissing", with_entry(R"({"dtype":"F32","shape":[2]})"), {w, "no \"data_offsets\""}, kName},
      {"OffsetsAreANumber", with_offsets("0"), {w, "data_offsets"}, kName},
      {"OneOffset", with_offsets("[0]"), {w, "data_offsets"}, kName},
      {"ThreeOffsets", with_offsets("[0,8,8]"), {w, "data_offsets"}, kName},
      {"NegativeOffset", with_offsets("[-8,0]"), {w, "data_offsets"}, kName},
      {"ReversedOffsets", with_offsets("[8,0]"), {w, "reversed"}, kName},
      {"OffsetsBeyondTheFile", with_offsets("[0,8]", 7), {w, "truncated"}, kName},
      {"OffsetsOfAllOnes",
       with_offsets("[18446744073709551607,18446744073709551615]"),
       {w, "truncated"},
       kName},
      {"OffsetsTooFewForTheShape", with_offsets("[0,4]"), {w, "span 4 bytes", "need 8"}, kName},
      {"OffsetsTooManyForTheShape", with_offsets("[0,12]", 12), {w, "span 12 bytes", "need 8"}, kName},
      {"HoleBeforeTheFirst", with_offsets("[4,12]", 12), {w, "gap or overlap"}, kName},
      {"HoleBetween", two_tensors("[0,8]", "[12,20]", 20), {"'b'", "gap or overlap"}, {}},
      {"Overlap", two_tensors("[0,8]", "[4,12]", 12), {"'b'", "gap or overlap"}, {}},
      {"TheSamePlaceTwice", two_tensors("[0,8]", "[0,8]", 8), {"gap or overlap"}, {}},
      {"BytesAfterTheLast", with_offsets("[0,8]", 11), {"3 bytes after the last tensor"}, {}},
      {"ControlCharactersOfANameAreEscaped", file_of(R"({"\u001b[2J":3})"), {"'\\x1B[2J'"}, {}},
  };
}

std::vector<HostileCase> float8_cases() {
  const auto file = [](const std::string& weights, const std::string& scales, std::size_t data) {
    return file_of("{" + weights + scales + "}", data);
  };
  const std::string w = R"("w":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]})";
  const auto scale = [](const std::string& dtype, const std::string& shape, int end) {
    return R"(,"w_scale_inv":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[4,)" +
           std::to_string(end) + "]}";
  };
  const std::string s = "'w_scale_inv'";
  return {
      {"Float8WithoutScales", file(w, "", 4), {"'w'", "'w_scale_inv' are missing"}, {}},
      {"Float8ScalesOfTheWrongShape", file(w, scale("F32", "[1,2]", 12), 12), {s, "2 x 2", "1 x 1"}, {}},
      {"Float8ScalesOfTheWrongRank", file(w, scale("F32", "[1]", 8), 8), {s, "1 x 1"}, {}},
      {"Float8ScalesOfTheWrongType", file(w, scale("I32", "[1,1]", 8), 8), {s, "F32 or BF16", "I32"}, {}},
      {"Float8ScalesInFloat8", file(w, scale("F8_E4M3", "[1,1]", 5), 5), {s}, {}},
      {"Float8Vector",
       file(R"("w":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]})", scale("F32", "[1,1]", 8), 8),
       {"'w'", "two dimensions"},
       {}},
  };
}

class HostileSafetensors : public ::testing::TestWithParam<HostileCase> {};

TEST_P(HostileSafetensors, IsRefusedWithItsPlace) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "hostile.safetensors";
  testing::write_file(path, GetParam().bytes);
  testing::expect_refused([&] { open_safetensors(path); }, path.string(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Headers, HostileSafetensors, ::testing::ValuesIn(header_cases()),
                         testing::case_name);
INSTANTIATE_TEST_SUITE_P(Entries, HostileSafetensors, ::testing::ValuesIn(entry_cases()), testing::case_name);
INSTANTIATE_TEST_SUITE_P(Float8, HostileSafetensors, ::testing::ValuesIn(float8_cases()), testing::case_name);

std::vector<HostileCase> index_cases() {
  const auto index = [](std::string_view text) { return ByteBuilder().raw(text).bytes(); };
  return {
      {"IndexEmpty", {}, {"not valid JSON"}, 0},
      {"IndexIsNotJson", index("weight_map"), {"not valid JSON"}, {}},
      {"IndexIsAnArray", index("[]"), {"weight_map"}, {}},
      {"IndexWithoutMap", index("{}"), {"weight_map"}, {}},
      {"IndexMapIsAnArray", index(R"({"weight_map":[]})"), {"weight_map"}, {}},
      {"IndexMapIsEmpty", index(R"({"weight_map":{}})"), {"weight_map"}, {}},
      {"IndexNamesATensorTwice",
       index(R"({"weight_map":{"w":"good.safetensors","w":"good.safetensors"}})"),
       {"'w'", "twice"},
       {}},
      {"IndexShardIsANumber", index(R"({"weight_map":{"w":1}})"), {"'w'", "not a string"}, {}},
      {"IndexShardOutsideTheFolder",
       index(R"({"weight_map":{"w":"../good.safetensors"}})"),
       {"'w'", "'../good.safetensors'"},
       {}},
      {"IndexShardWithAnAbsolutePath",
       index(R"({"weight_map":{"w":"/etc/passwd"}})"),
       {"'w'", "'/etc/passwd'"},
       {}},
      {"IndexShardWithoutName", index(R"({"weight_map":{"w":""}})"), {"'w'", "''"}, {}},
      {"IndexShardIsTheFolderAbove", index(R"({"weight_map":{"w":".."}})"), {"'w'", "'..'"}, {}},
      {"IndexNamesAMissingShard",
       index(R"({"weight_map":{"w":"good.safetensors","v":"gone.safetensors"}})"),
       {"'gone.safetensors'", "missing"},
       {}},
      {"IndexPlacesATensorWhereItIsNot",
       index(R"({"weight_map":{"w":"good.safetensors","v":"good.safetensors"}})"),
       {"'v'", "'good.safetensors'", "does not hold it"},
       {}},
      {"IndexPlacesATensorInTheWrongShard",
       index(R"({"weight_map":{"w":"other.safetensors","x":"good.safetensors"}})"),
       {"does not hold it"},
       {}},
  };
}

/// The folder has good.safetensors with the tensor "w" and other.safetensors with the tensor "x".
class HostileIndex : public ::testing::TestWithParam<HostileCase> {};

TEST_P(HostileIndex, IsRefusedWithItsPlace) {
  const testing::TemporaryFolder folder;
  testing::write_file(folder / "good.safetensors", with_offsets("[0,8]"));
  testing::write_file(folder / "other.safetensors",
                      file_of(R"({"x":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1));
  const auto path = folder / "model.safetensors.index.json";
  testing::write_file(path, GetParam().bytes);
  testing::expect_refused([&] { open_safetensors(folder.path()); }, path.string(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, HostileIndex, ::testing::ValuesIn(index_cases()), testing::case_name);

TEST(HostileSafetensors, ATensorInTwoShardsIsRefused) {
  const testing::TemporaryFolder folder;
  testing::write_file(folder / "a.safetensors", with_offsets("[0,8]"));
  testing::write_file(folder / "b.safetensors", with_offsets("[0,8]"));
  testing::write_file(folder / "model.safetensors.index.json",
                      R"({"weight_map":{"w":"a.safetensors","x":"b.safetensors"}})");
  testing::expect_refused([&] { open_safetensors(folder.path()); }, (folder / "b.safetensors").string(),
                          HostileCase{"Twice", {}, {"'w'", "another shard"}});
}

TEST(HostileSafetensors, AFolderWithoutWeightsIsRefused) {
  const testing::TemporaryFolder folder;
  testing::expect_refused([&] { open_safetensors(folder.path()); }, folder.path().string(),
                          HostileCase{"Empty", {}, {"model.safetensors", "model.safetensors.index.json"}});
  EXPECT_THROW(open_safetensors(folder / "missing.safetensors"), BadFileError);
  EXPECT_THROW(open_safetensors(folder / std::string(300, 'x')), BadFileError);
}

TEST(HostileSafetensors, TheBuildersOfTheseCasesMakeGoodFilesWhenNothingIsWrong) {
  const testing::TemporaryFolder folder;
  testing::write_file(folder / "x", two_tensors("[0,8]", "[8,16]", 16));
  EXPECT_EQ(open_safetensors(folder / "x")->tensors().size(), 2u);
  testing::write_file(folder / "y", with_shape("[2]"));
  EXPECT_EQ(open_safetensors(folder / "y")->tensors().size(), 1u);
}

}  // namespace
}  // namespace tessera::safetensors
