// tessera generate from outside: what it prints, and wrong usage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kDemo = TESSERA_TESTDATA "/demo-model";

ProgramResult generate(std::vector<std::string> options) {
  std::vector<std::string> arguments = {"generate", kDemo, "--threads", "1"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return run_program(arguments);
}

TEST(Generate, PrintsThePromptAndItsContinuationTheSameEachTime) {
  const auto result = generate({"-p", "The house", "-n", "8", "--seed", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("The house"));
  EXPECT_THAT(result.err, HasSubstr("8 tokens"));
  EXPECT_EQ(generate({"-p", "The house", "-n", "8", "--seed", "4"}).out, result.out);
  const auto alone = generate({"-p", "The house", "-n", "8", "--seed", "4", "--no-display-prompt"});
  EXPECT_EQ("The house" + alone.out, result.out);
}

TEST(Generate, TakesThePromptFromAFileAndPrintsJson) {
  const ScratchFolder folder;
  write_whole(folder / "prompt.txt", "The house");
  const auto file = generate({"-f", folder / "prompt.txt", "-n", "5", "--greedy", "--json", "--quiet"});
  EXPECT_EQ(file.exit_code, 0);
  EXPECT_EQ(file.err, "");
  const auto report = nlohmann::json::parse(file.out);
  EXPECT_EQ(report["prompt"], "The house");
  EXPECT_EQ(report["tokens"].size(), 5u);
  EXPECT_EQ(generate({"-p", "The house", "-n", "5", "--temp", "0", "--json", "--quiet"}).out, file.out);
}

TEST(Generate, SaysWhenLayersDoNotFitIntoMemory) {
  const auto result = generate({"-p", "The", "-n", "3", "--memory", "1K", "--greedy"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("do not fit"));
  EXPECT_EQ(result.out, generate({"-p", "The", "-n", "3", "--greedy"}).out);
}

TEST(Generate, WrongUsageIsNamed) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "-p TEXT"},
      {{"-p", "a", "-n", "0"}, "-n must be"},
      {{"-p", "a", "-n", "-3"}, "-n must be"},
      {{"-p", "a", "-f", "b"}, "excludes"},
      {{"-p", "a", "--temp", "-1"}, "temperature"},
      {{"-p", "a", "--temp", "nan"}, "temperature"},
      {{"-p", "a", "--top-p", "0"}, "top-p"},
      {{"-p", "a", "--top-k", "-1"}, "--top-k"},
      {{"-p", "a", "--greedy", "--temp", "1"}, "--greedy"},
      {{"-p", "a", "--precision", "f16"}, "--precision"},
      {{"-p", "a", "--memory", "much"}, "--memory"},
  };
  for (const auto& [options, message] : cases) {
    const auto result = generate(options);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_EQ(result.out, "");
  }
}

TEST(Generate, AModelThatIsNoneIsABadFile) {
  const ScratchFolder folder;
  write_whole(folder / "model.gguf", "GGUF");
  EXPECT_EQ(run_program({"generate", folder / "model.gguf", "-p", "a"}).exit_code, 3);
  write_model(folder / "small.gguf");
  const auto result = run_program({"generate", folder / "small.gguf", "-p", "a"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("small.gguf"));
}

}  // namespace
}  // namespace tessera::testing
