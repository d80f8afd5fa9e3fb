// The evaluate command from the outside: what it prints, its report and its exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using testing::run_program;
using testing::ScratchFolder;

const std::string kModel = TESSERA_TESTDATA "/demo-model";
const std::string kText = TESSERA_TESTDATA "/demo.txt";

TEST(EvaluateCommand, PrintsPerplexityAndWritesTheReport) {
  const ScratchFolder folder;
  const auto report = (folder / "report.json").string();
  const auto result = run_program(
      {"evaluate", kModel, kModel, "-f", kText, "--ctx", "64", "--samples", "4", "--report", report});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("perplexity"));
  EXPECT_THAT(result.out, HasSubstr("mean 0.000000"));
  const auto json = nlohmann::json::parse(testing::read_whole(report));
  EXPECT_EQ(json["windows"], 4);
  EXPECT_EQ(json["perplexity_original"], json["perplexity_quantized"]);
  EXPECT_EQ(json["layer_errors"].size(), 4u);
}

TEST(EvaluateCommand, PrintsNothingButJsonOnRequest) {
  const auto result =
      run_program({"evaluate", kModel, "-f", kText, "--ctx", "64", "--samples", "2", "--json", "--quiet"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_TRUE(json["perplexity_quantized"].is_null());
  EXPECT_EQ(result.err, "");
}

TEST(EvaluateCommand, SaysWhatIsWrongWithAnExitCodeOfItsKind) {
  const ScratchFolder folder;
  testing::write_whole(folder / "empty.txt", "");
  testing::write_whole(folder / "broken.jsonl", "{\"text\": \"a\"}\n{\"text\": \n");
  const auto expect = [](const std::vector<std::string>& arguments, int code, const std::string& message) {
    const auto result = run_program(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  expect({"evaluate", kModel}, 2, "--file");
  expect({"evaluate", kModel, "-f", kText, "--ctx", "2"}, 2, "--ctx");
  expect({"evaluate", kModel, "-f", kText + "=heavy"}, 2, "FILE=WEIGHT");
  expect({"evaluate", kModel, "-f", kText, "--precision", "fp8"}, 2, "--precision");
  expect({"evaluate", kModel, "-f", (folder / "missing.txt").string()}, 3, "missing.txt");
  expect({"evaluate", kModel, "-f", (folder / "empty.txt").string()}, 3, "empty.txt");
  expect({"evaluate", kModel, "-f", (folder / "broken.jsonl").string()}, 3, "2");
  expect({"evaluate", (folder / "missing.gguf").string(), "-f", kText}, 3, "missing.gguf");
  expect({"evaluate", kModel, TESSERA_TESTDATA "/forward/qwen3", "-f", kText}, 3, "not its original");
}

}  // namespace
}  // namespace tessera
