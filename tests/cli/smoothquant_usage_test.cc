// tessera smoothquant: what it prints, and how wrong usage and bad files end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kDone = 0, kWrongUsage = 2, kBadInput = 3;

class SmoothQuant : public ::testing::Test {
 protected:
  /// On the demo model and its text, with few short windows.
  ProgramResult run(const std::vector<std::string>& more,
                    const std::string& model = TESSERA_TESTDATA "/demo-model") const {
    std::vector<std::string> arguments = {"smoothquant", model, "-f",        TESSERA_TESTDATA "/demo.txt",
                                          "--ctx",       "32",  "--samples", "4"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  std::string path(const std::string& name) const { return folder_ / name; }

  ScratchFolder folder_;
};

TEST_F(SmoothQuant, HelpHasAnExample) {
  const auto result = run_program({"smoothquant", "--help"});
  EXPECT_EQ(result.exit_code, kDone);
  EXPECT_THAT(result.out, HasSubstr("Example"));
}

TEST_F(SmoothQuant, SaysWhatWasWrittenAndWhatItCost) {
  const auto result =
      run({"-o", path("out"), "--evaluate", TESSERA_TESTDATA "/demo.txt", "--evaluate-samples", "4",
           "--report", path("report.json"), "--scales", path("scales.json"), "--no-cache", "-v"});
  ASSERT_EQ(result.exit_code, kDone) << result.err;
  for (const char* expected :
       {"wrote ", "original ", "W8A8 without smoothing", "W8A8 smoothed", "attention_output"})
    EXPECT_THAT(result.out, HasSubstr(expected));
  const auto report = nlohmann::json::parse(read_whole(path("report.json")));
  EXPECT_EQ(report.at("kind"), "smoothquant");
  EXPECT_EQ(report.at("evaluation").at("variants").size(), 3u);
  const auto scales = nlohmann::json::parse(read_whole(path("scales.json")));
  EXPECT_EQ(scales.at("folds").size(), 16u);
  EXPECT_GT(scales.at("folds").at(0).at("scales").size(), 16u);
}

TEST_F(SmoothQuant, WrongUsageNamesTheOption) {
  write_whole(path("bad.yaml"), "alpha: 3\n");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "--output"},
      {{"-o", path("out"), "--alpha", "1.5"}, "from 0 to 1"},
      {{"-o", path("out"), "--alpha", "-0.1"}, "from 0 to 1"},
      {{"-o", path("out"), "--smooth-only", "--w8a8"}, "--w8a8"},
      {{"-o", path("out"), "--percentile", "50"}, "--percentile"},
      {{"-o", path("out"), "--type", "q8_0"}, "--type"},
      {{"-o", path("out.gguf")}, "--smooth-only"},
      {{"-o", path("missing/out")}, "missing"},
  };
  for (const auto& [arguments, expected] : cases) {
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, kWrongUsage) << expected;
    EXPECT_THAT(result.err, HasSubstr(expected));
  }
  const auto config = run({"-o", path("out"), "--config", path("bad.yaml")});
  EXPECT_EQ(config.exit_code, kBadInput);
  EXPECT_THAT(config.err, HasSubstr("bad.yaml:1"));
}

TEST_F(SmoothQuant, BadModelsNameTheFile) {
  const auto missing = run({"-o", path("out")}, path("nothing"));
  EXPECT_EQ(missing.exit_code, kBadInput);
  EXPECT_THAT(missing.err, HasSubstr("nothing"));
  write_model(path("partial.gguf"), {.layers = 1});
  const auto partial = run({"-o", path("out")}, path("partial.gguf"));
  EXPECT_EQ(partial.exit_code, kBadInput);
  EXPECT_THAT(partial.err, HasSubstr("partial.gguf"));
  EXPECT_THAT(folder_.names(), ::testing::ElementsAre("partial.gguf"));
}

}  // namespace
}  // namespace tessera::testing
