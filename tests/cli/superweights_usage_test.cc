// tessera superweights: what it prints and writes, and how wrong usage and bad files end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include <nlohmann/json.hpp>

#include "artifacts/super_weight_list.h"
#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kDone = 0, kWrongUsage = 2, kBadInput = 3;
constexpr const char* kModel = TESSERA_TESTDATA "/demo-model";
constexpr const char* kText = TESSERA_TESTDATA "/demo.txt";

class SuperWeights : public ::testing::Test {
 protected:
  ProgramResult run(const std::vector<std::string>& more, const std::string& model = kModel) const {
    std::vector<std::string> arguments = {"superweights", model, "--ctx",     "32",
                                          "--samples",    "4",   "--no-cache"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  std::string path(const std::string& name) const { return folder_ / name; }

  ScratchFolder folder_;
};

TEST_F(SuperWeights, HelpNamesBothNotionsAndHasAnExample) {
  const auto result = run_program({"superweights", "--help"});
  EXPECT_EQ(result.exit_code, kDone);
  for (const char* expected : {"coverage", "spikes", "--ablate", "Example"})
    EXPECT_THAT(result.out, HasSubstr(expected));
}

TEST_F(SuperWeights, AreListedByNotionAndWrittenAsAList) {
  const auto result = run({"-f", kText, "-o", path("list.json"), "--top", "3"});
  ASSERT_EQ(result.exit_code, kDone) << result.err;
  for (const char* expected : {"coverage: 0.0001 of", "score \"activation\"", "activation spikes: 128 tokens",
                               "times block", ".weight", "--top N"})
    EXPECT_THAT(result.out, HasSubstr(expected));
  const auto list = read_super_weights(path("list.json"));
  EXPECT_EQ(list.model_hash.size(), 32u);
  EXPECT_EQ(list.coverage->found + list.spikes->found, list.weights.size());
  EXPECT_GT(list.weights.size(), 3u);
}

TEST_F(SuperWeights, WithoutTextAreThoseOfMagnitude) {
  const auto result = run({"--notion", "coverage", "--coverage", "1e-6", "--json", "--quiet"});
  ASSERT_EQ(result.exit_code, kDone) << result.err;
  const auto list = parse_super_weights(std::as_bytes(std::span(result.out)), "output");
  EXPECT_EQ(list.coverage->score, "magnitude");
  EXPECT_FALSE(list.spikes);
  for (const auto& weight : list.weights) EXPECT_EQ(weight.score, std::abs(weight.value));
}

TEST_F(SuperWeights, AblationComparesWithOtherWeightsAndALowBitModel) {
  const auto result = run({"-f", kText, "--notion", "coverage", "--coverage", "1e-5", "--ablate",
                           "--evaluate-samples", "4", "--json", "--quiet"});
  ASSERT_EQ(result.exit_code, kDone) << result.err;
  const auto ablation = nlohmann::json::parse(result.out).at("ablation");
  EXPECT_EQ(ablation.at("variants").size(), 6u);
  EXPECT_GT(ablation.at("perplexity"), 1.0);
  EXPECT_THAT(ablation.at("variants").at(5).at("variant").get<std::string>(), HasSubstr("exact"));
  for (const auto& variant : ablation.at("variants")) EXPECT_GT(variant.at("kl_divergence"), 0.0);
}

TEST_F(SuperWeights, WrongUsageSaysWhatToDo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "--notion coverage"},
      {{"-f", kText, "--coverage", "0"}, "out of range"},
      {{"-f", kText, "--coverage", "0.06"}, "up to 0.05"},
      {{"-f", kText, "--coverage", "-1"}, "out of range"},
      {{"-f", kText, "--coverage", "nan"}, "out of range"},
      {{"-f", kText, "--notion", "most"}, "--notion"},
      {{"-f", kText, "--input-ratio", "1"}, "above 1"},
      {{"-f", kText, "--output-ratio", "0"}, "above 1"},
      {{"--notion", "coverage", "--ablate"}, "--evaluate"},
      {{"--notion", "coverage", "-o", path("missing/list.json")}, "missing"},
  };
  for (const auto& [arguments, expected] : cases) {
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, kWrongUsage) << expected;
    EXPECT_THAT(result.err, HasSubstr(expected));
  }
}

TEST_F(SuperWeights, BadFilesAreNamed) {
  const auto missing = run({"--notion", "coverage"}, path("nothing"));
  EXPECT_EQ(missing.exit_code, kBadInput);
  EXPECT_THAT(missing.err, HasSubstr("nothing"));
  write_whole(path("imatrix.gguf"), "GGUF");
  const auto bad = run({"--notion", "coverage", "--imatrix", path("imatrix.gguf")});
  EXPECT_EQ(bad.exit_code, kBadInput);
  EXPECT_THAT(bad.err, HasSubstr("imatrix.gguf"));
}

}  // namespace
}  // namespace tessera::testing
