// Damaged importance matrices of both forms.
#include <cmath>
#include <limits>

#include "formats/hostile_case.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "foundation/formats/imatrix/fisher_reader.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera::imatrix {
namespace {

using testing::ByteBuilder;
using testing::HostileCase;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Where the fields of the entry "name" stand in a legacy file.
constexpr std::uint64_t kLength = 4, kName = 8, kValueCount = 16, kValues = 20, kEnd = 28;

/// A legacy file with one entry "name" of two values.
ByteBuilder legacy(float first = 1, float second = 2) {
  ByteBuilder bytes;
  bytes.i32(1).i32(4).raw("name").i32(1).i32(2).f32(first).f32(second);
  return bytes;
}

ByteBuilder legacy_head(std::int32_t entries, std::int32_t name_length) {
  ByteBuilder bytes;
  bytes.i32(entries).i32(name_length);
  return bytes;
}

std::vector<HostileCase> legacy_cases() {
  const auto counts = [](std::int32_t values) {
    return ByteBuilder().i32(1).i32(4).raw("name").i32(1).i32(values).zeros(8).bytes();
  };
  return {
      {"EmptyFile", {}, {"the number of entries"}, 0},
      {"NoEntries", ByteBuilder().i32(0).zeros(32).bytes(), {"number of entries is 0"}, 0},
      {"NegativeNumberOfEntries", ByteBuilder().i32(-1).zeros(32).bytes(), {"number of entries is -1"}, 0},
      {"EntriesBeyondTheFile",
       ByteBuilder().i32(0x7FFFFFFF).zeros(32).bytes(),
       {"2147483647", "do not fit"},
       4},
      {"TextInsteadOfAnImportanceMatrix",
       ByteBuilder().raw("Once upon a time there was a file.").bytes(),
       {"do not fit"},
       4},
      {"EmptyName", legacy_head(1, 0).zeros(32).bytes(), {"name length of entry 0 is 0"}, kLength},
      {"NegativeNameLength", legacy_head(1, -4).zeros(32).bytes(), {"name length of entry 0 is -4"}, kLength},
      {"NameBeyondTheFile", legacy_head(1, 33).zeros(32).bytes(), {"the name of entry 0 needs 33"}, kName},
      {"CallsMissing", ByteBuilder().i32(1).i32(13).raw("a longer name").bytes(), {"'a longer name'"}, 21},
      {"ValueCountMissing", ByteBuilder().i32(1).i32(9).raw("some name").i32(1).bytes(), {"'some name'"}, 21},
      {"NoValues", counts(0), {"'name'", "number of values", "is 0"}, kValueCount},
      {"NegativeNumberOfValues", counts(-2), {"'name'", "is -2"}, kValueCount},
      {"ValuesBeyondTheFile", counts(3), {"'name'", "needs 12 bytes"}, kValues},
      {"ValuesThatWouldExhaustMemory", counts(0x7FFFFFFF), {"'name'", "needs 8589934588 bytes"}, kValues},
      {"SecondEntryMissing",
       ByteBuilder().i32(2).i32(4).raw("name").i32(1).i32(5).zeros(20).bytes(),
       {"name length of entry 1"},
       40},
      {"DuplicateEntry",
       ByteBuilder().i32(2).i32(1).raw("w").i32(1).i32(1).f32(1).i32(1).raw("w").i32(1).i32(1).f32(1).bytes(),
       {"'w'", "twice"},
       21},
      {"NotANumber", legacy(1, kNaN).bytes(), {"'name'", "sum 1", "nan"}, kValues + 4},
      {"Infinite", legacy(kInfinity).bytes(), {"'name'", "sum 0", "inf"}, kValues},
      {"NegativeInfinite", legacy(1, -kInfinity).bytes(), {"'name'", "sum 1", "-inf"}, kValues + 4},
      {"NegativeSum", legacy(-0.5f).bytes(), {"'name'", "sum 0", "-0.5"}, kValues},
      {"ChunkCountCutShort", legacy().zeros(3).bytes(), {"the number of chunks"}, kEnd},
      {"DatasetLengthCutShort",
       legacy().i32(1).zeros(2).bytes(),
       {"length of the data set's name"},
       kEnd + 4},
      {"NegativeDatasetLength", legacy().i32(1).i32(-1).bytes(), {"data set's name is -1"}, kEnd + 4},
      {"DatasetBeyondTheFile",
       legacy().i32(1).i32(9).raw("text").bytes(),
       {"data set's name needs 9"},
       kEnd + 8},
      {"BytesAfterTheEnd",
       legacy().i32(1).i32(4).raw("text").zeros(5).bytes(),
       {"5 bytes follow"},
       kEnd + 12},
  };
}

/// What a GGUF form consists of; each case spoils something.
struct GgufForm {
  gguf::Metadata metadata = good_metadata();
  std::vector<TensorDescriptor> tensors{{"w.in_sum2", ElementType::F32, {2, 3}},
                                        {"w.counts", ElementType::F32, {2, 1}}};
  std::vector<float> sums{1, 2, 3, 4, 5, 6};
  std::vector<float> counts{1, 2};
  std::vector<float> extra;  ///< values of the third tensor, where a case adds one

  GgufForm& with(const std::string& name, std::vector<std::uint64_t> shape, std::vector<float> values,
                 ElementType type = ElementType::F32) {
    tensors.push_back({name, type, std::move(shape)});
    extra = std::move(values);
    return *this;
  }

  static gguf::Metadata good_metadata() {
    gguf::Metadata metadata;
    metadata.set("general.type", std::string("imatrix"));
    metadata.set("imatrix.datasets", gguf::Array(std::vector<std::string>{"text"}));
    metadata.set("imatrix.chunk_count", std::uint32_t{1});
    metadata.set("imatrix.chunk_size", std::uint32_t{512});
    return metadata;
  }

  testing::Bytes bytes() const {
    const testing::TemporaryFolder folder;
    const auto sink = gguf::create_gguf(folder / "m", metadata, tensors);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const auto& values = i == 2 ? extra : tensors[i].name.ends_with("counts") ? counts : sums;
      if (tensors[i].bytes() == values.size() * sizeof(float))
        sink->write_rows(i, 0, std::as_bytes(std::span(values)));
    }
    sink->commit();
    return testing::read_file(folder / "m");
  }
};

std::vector<HostileCase> gguf_cases() {
  const auto spoilt = [](const auto& spoil) {
    GgufForm form;
    spoil(form);
    return form.bytes();
  };
  using Form = GgufForm&;
  return {
      {"GgufOfAModel",
       spoilt([](Form f) { f.metadata.set("general.type", std::string("model")); }),
       {"'general.type'", "'model'", "not an importance matrix"}},
      {"GgufWithoutDatasets",
       spoilt([](Form f) { f.metadata.erase("imatrix.datasets"); }),
       {"'imatrix.datasets'"}},
      {"GgufWithoutChunkCount",
       spoilt([](Form f) { f.metadata.erase("imatrix.chunk_count"); }),
       {"'imatrix.chunk_count'"}},
      {"GgufWithoutChunkSize",
       spoilt([](Form f) { f.metadata.erase("imatrix.chunk_size"); }),
       {"'imatrix.chunk_size'"}},
      {"GgufWithNegativeChunkSize",
       spoilt([](Form f) { f.metadata.set("imatrix.chunk_size", std::int32_t{-1}); }),
       {"'imatrix.chunk_size'"}},
      {"GgufWithHugeChunkCount",
       spoilt([](Form f) { f.metadata.set("imatrix.chunk_count", std::uint64_t{1} << 40); }),
       {"'imatrix.chunk_count'"}},
      {"GgufWithoutEntries", spoilt([](Form f) { f.tensors.clear(); }), {"no importance-matrix entries"}},
      {"GgufSumsWithoutCounts",
       spoilt([](Form f) { f.tensors.pop_back(); }),
       {"'w.in_sum2'", "no tensor 'w.counts'", "at byte"}},
      {"GgufCountsWithoutSums",
       spoilt([](Form f) { f.tensors.erase(f.tensors.begin()); }),
       {"'w.counts'", "no tensor 'w.in_sum2'", "at byte"}},
      {"GgufSumsOfAnotherType",
       spoilt([](Form f) { f.tensors[0].type = ElementType::F16; }),
       {"'w.in_sum2'", "not F16", "at byte"}},
      {"GgufCountsOfAnotherType",
       spoilt([](Form f) { f.tensors[1].type = ElementType::I32; }),
       {"'w.counts'", "not I32", "at byte"}},
      {"GgufSumsNoMultipleOfCounts",
       spoilt([](Form f) {
         f.tensors[1].shape = {4, 1};
       }),
       {"'w.in_sum2'", "6 sums", "4 counts"}},
      {"GgufSumNotANumber", spoilt([](Form f) { f.sums[4] = kNaN; }), {"'w'", "sum 4", "nan", "at byte"}},
      {"GgufSumInfinite", spoilt([](Form f) { f.sums[0] = kInfinity; }), {"'w'", "sum 0", "inf", "at byte"}},
      {"GgufSumNegative", spoilt([](Form f) { f.sums[5] = -1; }), {"'w'", "sum 5", "-1", "at byte"}},
      {"GgufCountNotANumber",
       spoilt([](Form f) { f.counts[1] = kNaN; }),
       {"'w'", "count 1", "nan", "at byte"}},
      {"GgufCountNegative", spoilt([](Form f) { f.counts[0] = -3; }), {"'w'", "count 0", "-3", "at byte"}},
      {"GgufCountImpossible",
       spoilt([](Form f) { f.counts[0] = 1e30f; }),
       {"'w.counts'", "impossible", "at byte"}},
      {"GgufHeaderCutShort", ByteBuilder().raw("GGUF").u32(3).bytes(), {"the tensor count"}, 8},
  };
}

/// Damage to the tensors and keys that only Tessera writes, and to llama.cpp's optional ones.
std::vector<HostileCase> extra_cases() {
  const auto with = [](const std::string& name, std::vector<std::uint64_t> shape, std::vector<float> values,
                       ElementType type = ElementType::F32) {
    return GgufForm().with(name, std::move(shape), std::move(values), type).bytes();
  };
  const auto with_method = [](const gguf::Value& value) {
    GgufForm form;
    form.metadata.set("tessera.method", value);
    return form.bytes();
  };
  return {
      {"UnknownMethod", with_method(std::string("magic")), {"'tessera.method'", "'magic'"}},
      {"MethodThatIsNoText", with_method(std::uint32_t{1}), {"'tessera.method'", "''"}},
      {"MaximaWithoutEntry", with("v.in_max", {2}, {1, 2}), {"'v.in_max'", "no tensor 'v.in_sum2'"}},
      {"TooFewMaxima", with("w.in_max", {3}, {1, 2, 3}), {"'w.in_max'", "3 values", "needs 6", "at byte"}},
      {"MaximaOfAnotherType", with("w.in_max", {2, 3}, {}, ElementType::F16), {"'w.in_max'", "not F16"}},
      {"MaximumNotANumber",
       with("w.in_max", {2, 3}, {1, 2, 3, 4, 5, kNaN}),
       {"'w'", "maximum 5", "nan", "at byte"}},
      {"MaximumNegative", with("w.in_max", {2, 3}, {1, -2, 3, 4, 5, 6}), {"'w'", "maximum 1", "-2"}},
      {"TooManySignedSums", with("w.in_sum", {7}, {1, 2, 3, 4, 5, 6, 7}), {"'w.in_sum'", "7 values"}},
      {"SignedSumInfinite",
       with("w.in_sum", {2, 3}, {1, -2, 3, -kInfinity, 5, 6}),
       {"'w'", "signed sum 3", "-inf", "must be finite."}},
      {"TwoSensitivities", with("w.sens", {2}, {1, 2}), {"'w.sens'", "2 values", "needs 1"}},
      {"SensitivityInfinite", with("w.sens", {1}, {kInfinity}), {"'w'", "sensitivity 0", "inf", "at byte"}},
      {"SensitivityNegative", with("w.sens", {1}, {-1}), {"'w'", "sensitivity 0", "-1"}},
      {"FisherOfOtherColumns", with("w.fisher", {2, 4}, {}), {"'w.fisher'", "4 columns", "3 columns"}},
      {"FisherRowsNoMultipleOfExperts", with("w.fisher", {5, 3}, {}), {"'w.fisher'", "5 rows", "2 experts"}},
      {"FisherOfABlockType",
       with("w.fisher", {2, 32}, {}, ElementType::Q8_0),
       {"'w.fisher'", "not Q8_0", "at byte"}},
      {"FisherWithoutEntry", with("v.fisher", {2, 3}, {}), {"'v.fisher'", "no tensor 'v.in_sum2'"}},
  };
}

std::vector<HostileCase> all_cases() {
  auto all = legacy_cases();
  for (const auto& item : gguf_cases()) all.push_back(item);
  for (const auto& item : extra_cases()) all.push_back(item);
  return all;
}

class HostileImatrix : public ::testing::TestWithParam<HostileCase> {};

TEST_P(HostileImatrix, IsRefusedWithItsPlace) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "hostile.imatrix";
  testing::write_file(path, GetParam().bytes);
  testing::expect_refused([&] { read_imatrix(path); }, path.string(), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, HostileImatrix, ::testing::ValuesIn(all_cases()), testing::case_name);

TEST(HostileImatrix, TheBuildersOfTheseCasesMakeGoodFilesWhenNothingIsWrong) {
  EXPECT_EQ(parse_imatrix(legacy().bytes(), "m").entries.at("name").columns, 2u);
  EXPECT_EQ(parse_imatrix(GgufForm().bytes(), "m").entries.at("w").columns, 3u);
}

TEST(HostileImatrix, AFisherValueThatCannotBeIsNamedByRowAndColumnWhenItIsRead) {
  const testing::TemporaryFolder folder;
  for (const float value : {kNaN, kInfinity, -1.0f}) {
    GgufForm form;
    testing::write_file(folder / "m",
                        form.with("w.fisher", {4, 3}, {0, 1, 2, 3, 4, 5, 6, value, 8, 9, 10, 11}).bytes());
    const FisherReader reader(folder / "m");
    EXPECT_EQ(reader.rows("w", {0, 2}), (std::vector<float>{0, 1, 2, 3, 4, 5}));
    testing::expect_refused(
        [&] {
          reader.rows("w", {1, 3});
        },
        (folder / "m").string(), {"FisherValue", {}, {"'w.fisher'", "row 2, column 1"}});
  }
}

}  // namespace
}  // namespace tessera::imatrix
