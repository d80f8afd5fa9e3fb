// Wrong usage and bad input: the exit code, a message that names the place, and nothing left behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A folder with model.gguf; every test checks that failing runs leave it as it was.
class Quantize : public ::testing::Test {
 protected:
  Quantize() : model_(folder_ / "model.gguf"), output_(folder_ / "out.gguf") { write_model(model_); }

  /// Runs `tessera quantize model.gguf -o out.gguf OPTIONS...`
  ProgramResult quantize(const std::vector<std::string>& options) const {
    std::vector<std::string> arguments = {"quantize", model_, "-o", output_};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_program(arguments);
  }

  void expect_refused(const ProgramResult& result, int exit_code, const std::string& message) const {
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "");
    EXPECT_FALSE(std::filesystem::exists(output_));
    for (const auto& name : folder_.names()) EXPECT_THAT(name, ::testing::Not(HasSubstr("partial")));
  }

  ScratchFolder folder_;
  std::string model_;
  std::string output_;
};

TEST(Program, WithoutSubcommandIsWrongUsage) { EXPECT_EQ(run_program({}).exit_code, 2); }

TEST(Program, UnknownSubcommandIsWrongUsage) { EXPECT_EQ(run_program({"shrink"}).exit_code, 2); }

TEST(Program, HelpAndVersionAreFine) {
  EXPECT_EQ(run_program({"--help"}).exit_code, 0);
  EXPECT_EQ(run_program({"--version"}).exit_code, 0);
  const auto help = run_program({"quantize", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Example"));
  EXPECT_THAT(help.out, HasSubstr("Q4_K_M"));
}

TEST_F(Quantize, MissingModelIsWrongUsage) {
  EXPECT_EQ(run_program({"quantize", "--type", "Q8_0"}).exit_code, 2);
}

TEST_F(Quantize, MissingTypeIsWrongUsage) { expect_refused(quantize({}), 2, "--type"); }

TEST_F(Quantize, MissingOutputIsWrongUsage) {
  expect_refused(run_program({"quantize", model_, "--type", "Q8_0"}), 2, "-o");
}

TEST_F(Quantize, UnknownTypeListsTheKnownOnes) { expect_refused(quantize({"--type", "Q9_K"}), 2, "Q4_K_M"); }

TEST_F(Quantize, UnknownOptionIsWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--fast"}), 2, "--fast");
}

TEST_F(Quantize, UnknownOutputTensorTypeIsWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--output-tensor-type", "Q9_0"}), 2, "--output-tensor-type");
}

TEST_F(Quantize, IntegerTypesAreNoWeightTypes) {
  expect_refused(quantize({"--type", "Q8_0", "--token-embedding-type", "I32"}), 2, "--token-embedding-type");
}

TEST_F(Quantize, TensorTypeWithoutEqualsIsWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--tensor-type", "attn_v"}), 2, "PATTERN=TYPE");
}

TEST_F(Quantize, TensorTypeWithUnknownTypeIsWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--tensor-type", "attn_v=huge"}), 2, "huge");
}

TEST_F(Quantize, TensorTypeWithBadRegularExpressionIsWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--tensor-type", "attn_v(=q4_0"}), 2, "regular expression");
}

TEST_F(Quantize, ZeroThreadsAreWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--threads", "0"}), 2, "threads");
}

TEST_F(Quantize, SplitSizeWithoutMeaningIsWrongUsage) {
  for (const char* size : {"2X", "G", "-1", "0", "99999999999999999G"}) {
    expect_refused(quantize({"--type", "Q8_0", "--split-max-size", size}), 2, "--split-max-size");
  }
}

TEST_F(Quantize, QuietAndVerboseTogetherAreWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--quiet", "--verbose"}), 2, "");
}

TEST_F(Quantize, UnknownEncoderIsWrongUsage) {
  expect_refused(quantize({"--type", "Q8_0", "--encoder", "magic"}), 2, "encoder");
}

TEST_F(Quantize, OutputThatIsTheInputIsRefused) {
  const auto before = read_whole(model_);
  const auto result = run_program({"quantize", model_, "-o", model_, "--type", "Q8_0"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("input"));
  EXPECT_EQ(read_whole(model_), before);
}

TEST_F(Quantize, OutputThatIsTheInputUnderAnotherNameIsRefused) {
  const std::string link = folder_ / "link.gguf";
  const std::string twin = folder_ / "twin.gguf";
  std::filesystem::create_symlink(model_, link);
  std::filesystem::create_hard_link(model_, twin);
  for (const auto& name : {link, twin}) {
    const auto result = run_program({"quantize", model_, "-o", name, "--type", "Q8_0"});
    EXPECT_EQ(result.exit_code, 2) << name;
    EXPECT_THAT(result.err, HasSubstr("input"));
  }
}

TEST_F(Quantize, OutputThatIsAPartOfASplitInputIsRefused) {
  write_model(folder_ / "split.gguf", {}, {.split_max_bytes = 100'000});
  const auto names = folder_.names();
  std::string first, last;
  for (const auto& name : names) {
    if (name.find("-of-") == std::string::npos) continue;
    if (first.empty()) first = folder_ / name;
    last = folder_ / name;
  }
  ASSERT_NE(first, last);
  const auto result = run_program({"quantize", first, "-o", last, "--type", "Q8_0"});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(folder_.names(), names);
}

TEST_F(Quantize, OutputThatIsTheImportanceMatrixIsRefused) {
  write_imatrix_gguf(folder_ / "im.gguf", importance_for({}));
  const std::string imatrix = folder_ / "im.gguf";
  EXPECT_EQ(
      run_program({"quantize", model_, "-o", imatrix, "--type", "Q8_0", "--imatrix", imatrix}).exit_code, 2);
}

TEST_F(Quantize, OutputInAMissingFolderIsRefused) {
  expect_refused(run_program({"quantize", model_, "-o", folder_ / "no/such/out.gguf", "--type", "Q8_0"}), 2,
                 "no/such/out.gguf");
}

TEST_F(Quantize, OutputThatIsAFolderIsRefused) {
  const std::string target = folder_ / "target";
  std::filesystem::create_directory(target);
  const auto result = run_program({"quantize", model_, "-o", target, "--type", "Q8_0"});
  EXPECT_THAT(result.exit_code, ::testing::AnyOf(1, 2));
  EXPECT_THAT(result.err, HasSubstr("target"));
  EXPECT_THAT(folder_.names(), ElementsAre("model.gguf", "target"));
}

TEST_F(Quantize, FullDiskFailsAndLeavesNothing) {
  const auto result = run_program({"quantize", model_, "-o", output_, "--type", "Q8_0"}, 20'000);
  expect_refused(result, 1, "out.gguf");
}

TEST_F(Quantize, ReportThatCannotBeWrittenIsAnError) {
  const auto result = quantize({"--type", "Q8_0", "--report", folder_ / "no/report.json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("report.json"));
}

TEST_F(Quantize, MissingInputIsABadFile) {
  expect_refused(run_program({"quantize", folder_ / "absent.gguf", "-o", output_, "--type", "Q8_0"}), 3,
                 "absent.gguf");
}

TEST_F(Quantize, EmptyInputIsABadFile) {
  write_whole(folder_ / "empty.gguf", "");
  expect_refused(run_program({"quantize", folder_ / "empty.gguf", "-o", output_, "--type", "Q8_0"}), 3,
                 "empty.gguf");
}

TEST_F(Quantize, TextInputIsABadFile) {
  write_whole(folder_ / "text.gguf", "This is no model at all, just some words.");
  expect_refused(run_program({"quantize", folder_ / "text.gguf", "-o", output_, "--type", "Q8_0"}), 3,
                 "text.gguf");
}

TEST_F(Quantize, TruncatedInputIsABadFile) {
  const auto whole = read_whole(model_);
  for (const std::size_t size : {4ul, 20ul, 200ul, whole.size() / 2, whole.size() - 100}) {
    write_whole(folder_ / "cut.gguf", whole.substr(0, size));
    expect_refused(run_program({"quantize", folder_ / "cut.gguf", "-o", output_, "--type", "Q8_0"}), 3,
                   "cut.gguf");
  }
}

TEST_F(Quantize, FolderWithoutConfigIsABadFile) {
  std::filesystem::create_directory(folder_ / "empty");
  const auto result = run_program({"quantize", folder_ / "empty", "-o", output_, "--type", "Q8_0"});
  expect_refused(result, 3, "empty");
}

TEST_F(Quantize, NanWeightIsReportedWithTensorRowAndColumn) {
  SmallModel damaged;
  damaged.edit = [](const std::string& name, std::vector<float>& weights) {
    if (name == "blk.1.ffn_up.weight") weights[3 * 256 + 17] = std::numeric_limits<float>::quiet_NaN();
  };
  write_model(model_, damaged);
  const auto result = quantize({"--type", "Q8_0"});
  expect_refused(result, 3, "blk.1.ffn_up.weight");
  EXPECT_THAT(result.err, HasSubstr("row 3, column 17"));
}

TEST_F(Quantize, InfiniteWeightInACopiedTensorIsReported) {
  SmallModel damaged;
  damaged.edit = [](const std::string& name, std::vector<float>& weights) {
    if (name == "blk.0.attn_norm.weight") weights[5] = std::numeric_limits<float>::infinity();
  };
  write_model(model_, damaged);
  const auto result = quantize({"--type", "Q8_0"});
  expect_refused(result, 3, "blk.0.attn_norm.weight");
  EXPECT_THAT(result.err, HasSubstr("column 5"));
}

TEST_F(Quantize, WeightBeyondTheRangeOfTheTargetIsReported) {
  SmallModel wide;
  wide.type = ElementType::F32;
  wide.edit = [](const std::string& name, std::vector<float>& weights) {
    if (name == "blk.0.attn_q.weight") weights[256 * 2 + 9] = 1e6f;
  };
  write_model(model_, wide);
  const auto result = quantize({"--type", "F16"});
  expect_refused(result, 3, "blk.0.attn_q.weight");
  EXPECT_THAT(result.err, HasSubstr("row 2, column 9"));
}

TEST_F(Quantize, QuantizedInputIsRefusedUnlessAllowed) {
  SmallModel quantized;
  quantized.type = ElementType::Q8_0;
  write_model(model_, quantized);
  expect_refused(quantize({"--type", "Q4_0"}), 2, "--allow-requantize");
  EXPECT_EQ(quantize({"--type", "Q4_0", "--pure", "--allow-requantize"}).exit_code, 0);
}

TEST_F(Quantize, TypeThatNeedsAnImportanceMatrixSaysHowToMakeOne) {
  expect_refused(quantize({"--type", "IQ2_XS"}), 2, "tessera imatrix MODEL -f text.txt -o imatrix.gguf");
  expect_refused(quantize({"--type", "Q2_K_S"}), 2, "--imatrix");
}

TEST_F(Quantize, MissingImportanceMatrixIsABadFile) {
  expect_refused(quantize({"--type", "Q8_0", "--imatrix", folder_ / "absent.gguf"}), 3, "absent.gguf");
}

TEST_F(Quantize, ModelInPlaceOfAnImportanceMatrixIsABadFile) {
  expect_refused(quantize({"--type", "Q8_0", "--imatrix", model_}), 3, "model.gguf");
}

TEST_F(Quantize, ImportanceMatrixOfAnotherModelIsABadFile) {
  auto matrix = importance_for({});
  imatrix::ImatrixFile other{
      matrix.datasets, 3, 512, {{"blk.77.attn_q.weight", matrix.entries.begin()->second}}};
  write_imatrix_gguf(folder_ / "im.gguf", other);
  expect_refused(quantize({"--type", "Q8_0", "--imatrix", folder_ / "im.gguf"}), 3, "im.gguf");
}

TEST_F(Quantize, TensorMissingFromTheImportanceMatrixIsABadFileForTypesThatNeedIt) {
  auto matrix = importance_for({});
  matrix.entries.erase("blk.1.ffn_up.weight");
  write_imatrix_gguf(folder_ / "im.gguf", matrix);
  expect_refused(quantize({"--type", "IQ2_XS", "--imatrix", folder_ / "im.gguf"}), 3, "blk.1.ffn_up.weight");
  EXPECT_EQ(quantize({"--type", "Q8_0", "--imatrix", folder_ / "im.gguf"}).exit_code, 0);
}

TEST_F(Quantize, ImportanceEntryOfTheWrongSizeIsABadFile) {
  auto matrix = importance_for({});
  auto& entry = matrix.entries.at("blk.1.attn_v.weight");
  entry.columns = 128;
  entry.sums.resize(128);
  write_imatrix_gguf(folder_ / "im.gguf", matrix);
  expect_refused(quantize({"--type", "Q8_0", "--imatrix", folder_ / "im.gguf"}), 3, "blk.1.attn_v.weight");
}

TEST_F(Quantize, ImportanceOfTheWrongSizeForTheTokenEmbeddingIsIgnored) {
  auto matrix = importance_for({});
  matrix.entries["token_embd.weight"] = {64, std::vector<float>(64, 1.0f), {1}};
  write_imatrix_gguf(folder_ / "im.gguf", matrix);
  EXPECT_EQ(quantize({"--type", "Q8_0", "--imatrix", folder_ / "im.gguf"}).exit_code, 0);
}

TEST_F(Quantize, NanInTheImportanceMatrixIsABadFile) {
  auto matrix = importance_for({});
  matrix.entries.at("blk.0.attn_q.weight").sums[7] = std::numeric_limits<float>::quiet_NaN();
  write_imatrix_gguf(folder_ / "im.gguf", matrix);
  expect_refused(quantize({"--type", "Q8_0", "--imatrix", folder_ / "im.gguf"}), 3, "blk.0.attn_q.weight");
}

TEST_F(Quantize, RowsThatFitNoFallbackAreRefused) {
  SmallModel odd;
  odd.columns = 96;
  write_model(model_, odd);
  expect_refused(quantize({"--type", "Q1_0", "--pure"}), 2, "no fallback");
}

TEST(Inspect, MissingFileIsABadFile) {
  EXPECT_EQ(run_program({"inspect", "/no/such/file.gguf"}).exit_code, 3);
}

TEST(Inspect, MissingArgumentIsWrongUsage) { EXPECT_EQ(run_program({"inspect"}).exit_code, 2); }

TEST(Inspect, RandomBytesAreABadFile) {
  const ScratchFolder folder;
  write_whole(folder / "noise.bin", "\x7f\x01\x02 some noise that is nothing");
  const auto result = run_program({"inspect", folder / "noise.bin"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("noise.bin"));
}

}  // namespace
}  // namespace tessera::testing
