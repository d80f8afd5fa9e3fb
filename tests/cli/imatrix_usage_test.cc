// tessera imatrix and the commands below it: what they print, and how wrong usage and bad files end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Imatrix : public ::testing::Test {
 protected:
  Imatrix() : first_(folder_ / "first.gguf"), second_(folder_ / "second.dat") {
    auto matrix = importance_for({.layers = 1});
    for (auto& [name, entry] : matrix.entries) entry.maxima.assign(entry.columns, 7.0f);
    write_imatrix_gguf(first_, matrix);
    write_imatrix_legacy(second_, matrix);
  }

  static ProgramResult run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "imatrix");
    return run_program(arguments);
  }

  ScratchFolder folder_;
  std::string first_, second_;
};

TEST_F(Imatrix, EveryHelpHasAnExample) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{}, {"show"}, {"compare"}, {"merge"}}) {
    auto arguments = command;
    arguments.emplace_back("--help");
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, HasSubstr("Example"));
  }
}

TEST_F(Imatrix, CalibrationNeedsModelFileAndOutput) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "model"},
      {{"-f", "text.txt", "-o", "im.gguf"}, "model"},
      {{"model.gguf", "-o", "im.gguf"}, "--file"},
      {{"model.gguf", "-f", "text.txt"}, "--output"},
  };
  for (const auto& [arguments, missing] : cases) {
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(missing));
  }
}

TEST_F(Imatrix, UnknownMethodAndFisherDiagonalsOfOtherMethodsAreWrongUsage) {
  const std::vector<std::string> good = {"model.gguf", "-f", "text.txt", "-o", "im.gguf"};
  for (const std::vector<std::string>& bad :
       {std::vector<std::string>{"--method", "magic"}, {"--per-weight-fisher"}}) {
    auto arguments = good;
    arguments.insert(arguments.end(), bad.begin(), bad.end());
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(bad.front()));
  }
}

TEST_F(Imatrix, ShowPrintsATableOrJson) {
  const auto table = run({"show", first_, "--top", "1"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("method activation"));
  EXPECT_THAT(table.out, HasSubstr("blk.0.attn_q.weight"));
  const auto json = nlohmann::json::parse(run({"show", first_, "--top", "2", "--json"}).out);
  EXPECT_EQ(json.at("datasets").at(0), "calibration.txt");
  double share = 0;
  for (const auto& tensor : json.at("tensors")) {
    EXPECT_EQ(tensor.at("top").size(), 2u);
    EXPECT_EQ(tensor.at("maximum").at("value"), 7.0);
    share += tensor.at("share").get<double>();
  }
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_THAT(run({"show", second_}).out, HasSubstr("an unknown number of tokens"));
}

TEST_F(Imatrix, CompareFindsAFileEqualToItsOldForm) {
  const auto table = run({"compare", first_, second_});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("worst 1.000000"));
  const auto json = nlohmann::json::parse(run({"compare", first_, second_, "--json"}).out);
  EXPECT_EQ(json.at("tensors").size(), 7u);
  EXPECT_NEAR(json.at("cosine").at("worst").get<double>(), 1, 1e-6);
}

TEST_F(Imatrix, MergeWritesAFileThatShowReads) {
  const std::string output = folder_ / "merged.gguf";
  const auto result = run({"merge", first_, first_, "-o", output});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("7 tensors, 6 chunks, 1 data sets"));
  EXPECT_EQ(run({"show", output}).exit_code, 0);
  EXPECT_EQ(run({"merge", first_, first_, "-o", output, "--quiet"}).out, "");
}

TEST_F(Imatrix, WrongUsageOfTheCommandsBelow) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"show"},
           {"show", first_, "--top", "-1"},
           {"compare", first_},
           {"merge", first_, "-o", folder_ / "merged.gguf"},
           {"merge", first_, first_},
           {"merge", first_, first_, "-o", first_},
           {"merge", first_, second_, "-o", folder_ / "merged.gguf"},
           {"merge", first_, first_, "-o", folder_ / "no/such/merged.gguf"}}) {
    EXPECT_EQ(run(arguments).exit_code, 2) << ::testing::PrintToString(arguments);
  }
  EXPECT_THAT(folder_.names(), ::testing::ElementsAre("first.gguf", "second.dat"));
}

TEST_F(Imatrix, BadFilesAreNamed) {
  write_whole(folder_ / "noise", "no importance at all, only words");
  auto other = importance_for({.layers = 1, .columns = 512});
  write_imatrix_gguf(folder_ / "other.gguf", other);
  other.method = imatrix::ImportanceMethod::fisher;
  write_imatrix_gguf(folder_ / "fisher.gguf", other);
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"show", folder_ / "absent.gguf"}, "absent.gguf"},
      {{"show", folder_ / "noise"}, "noise"},
      {{"compare", first_, folder_ / "noise"}, "noise"},
      {{"compare", first_, folder_ / "other.gguf"}, "one model"},
      {{"merge", first_, folder_ / "noise", "-o", folder_ / "merged"}, "noise"},
      {{"merge", first_, folder_ / "other.gguf", "-o", folder_ / "merged"}, "other.gguf"},
      {{"merge", first_, folder_ / "fisher.gguf", "-o", folder_ / "merged"}, "method"},
  };
  for (const auto& [arguments, said] : cases) {
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, 3) << result.err;
    EXPECT_THAT(result.err, HasSubstr(said));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "merged"));
  }
}

}  // namespace
}  // namespace tessera::testing
