// The options of dynamic quantization from the outside: what excludes what, what is written, and where
// mistakes are found.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "artifacts/plan_document.h"
#include "artifacts/run_report_fields.h"
#include "artifacts/schema_complaints.h"
#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Arguments = std::vector<std::string>;

const std::string kModel = TESSERA_TESTDATA "/demo-model";
const std::string kText = TESSERA_TESTDATA "/demo.txt";

/// A run that is quick, and says only what is wrong.
const Arguments kQuick = {"-f", kText, "--ctx-size", "32", "--samples", "4", "--sensitivity-samples",
                          "3",  "-q"};

Arguments joined(Arguments first, const Arguments& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class DynamicOptions : public ::testing::Test {
 protected:
  DynamicOptions() { ::setenv("XDG_CACHE_HOME", cache_.path().c_str(), 1); }

  /// `tessera quantize MODEL -o FOLDER/out.gguf OPTIONS...`
  ProgramResult quantize(const Arguments& options) const {
    return run_program(joined({"quantize", kModel, "-o", output_}, options));
  }

  void expect_refused(const ProgramResult& result, int exit_code, const std::string& remedy) const {
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(remedy));
    EXPECT_FALSE(std::filesystem::exists(output_));
  }

  std::string write(const std::string& name, const std::string& text) const {
    write_whole(folder_ / name, text);
    return folder_ / name;
  }

  ScratchFolder cache_;
  ScratchFolder folder_;
  std::string output_ = folder_ / "out.gguf";
};

TEST_F(DynamicOptions, ThatExcludeEachOtherAreWrongUsageWithARemedy) {
  const std::string config = write("conf.yaml", "target: {bpw: 3}\n");
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{}, "--dynamic with a target"},
      {{"--dynamic"}, "--target-bpw 2.5"},
      {{"--profile", "balanced"}, "--target-bpw 2.5"},
      {{"--dynamic", "--type", "Q4_K_M", "--target-bpw", "3"}, "give one of them"},
      {{"--type", "Q4_K_M", "--target-size", "3MB"}, "give one of them"},
      {{"--type", "Q4_K_M", "--sensitivity", "prior"}, "give one of them"},
      {{"--plan", "plan.yaml", "--type", "Q4_K_M"}, "give one of them"},
      {{"--plan", "plan.yaml", "--config", config}, "give one of them"},
      {{"--dynamic", "--target-bpw", "3", "--target-size", "3MB"}, "give one of --target-bpw"},
      {{"--target-compression", "80", "--target-bpw", "3"}, "give one of --target-bpw"},
      {{"--config", config, "--profile", "balanced"}, "write 'profile:' into the configuration"},
      {{"--config", config, "--pure"}, "write rules into a file for --config"},
      {{"--target-bpw", "3", "--tensor-type", "attn_v=Q6_K"}, "write rules into a file for --config"},
      {{"--target-bpw", "3", "--output-tensor-type", "Q6_K"}, "write rules into a file for --config"},
      {{"--target-bpw", "3", "--token-embedding-type", "Q6_K"}, "write rules into a file for --config"},
      {{"--plan", "plan.yaml", "--leave-output-tensor"}, "with --plan edit the plan"},
      {{"--target-bpw", "4", "--sensitivity", "fisher"}, "give some with -f"},
      {{"--target-bpw", "4", "--sensitivity", "measured"}, "give some with -f"},
  };
  for (const auto& [arguments, remedy] : cases) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    expect_refused(quantize(arguments), 2, remedy);
  }
  EXPECT_THAT(folder_.names(), ElementsAre("conf.yaml"));
}

TEST_F(DynamicOptions, OfWrongValuesAreWrongUsage) {
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{"--target-bpw", "0"}, "--target-bpw"},
      {{"--target-bpw", "33"}, "--target-bpw"},
      {{"--target-bpw", "small"}, "--target-bpw"},
      {{"--target-size", "3.5QiB"}, "3.5QiB"},
      {{"--target-size", "0"}, "0"},
      {{"--target-compression", "100"}, "--target-compression"},
      {{"--target-bpw", "3", "--profile", "balancd"}, "balanced"},
      {{"--target-bpw", "3", "--sensitivity", "guess"}, "fisher"},
      {{"--target-bpw", "3", "--sensitivity-samples", "0"}, "--sensitivity-samples"},
      {{"--target-bpw", "1", "--sensitivity", "prior"}, "cannot be reached"},
  };
  for (const auto& [arguments, said] : cases) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    expect_refused(quantize(arguments), 2, said);
  }
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(DynamicOptions, AreMetByTheirFilesWithPlaceAndRemedy) {
  const std::string absent = folder_ / "absent";
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{"--config", write("key.yaml", "target: {bpw: 3}\nprofle: balanced\n")}, "key.yaml:2"},
      {{"--config", write("rule.yaml", "target: {bpw: 4}\nexclude: blk.0.atn_q.weight\n")}, "rule.yaml:2"},
      {{"--config", absent}, "absent"},
      {{"--plan", absent}, "absent"},
      {{"--plan", write("plan.yaml", "tensors:\n  nothing.weight: Q4_K\n")}, "plan.yaml:2"},
      {{"--target-bpw", "3", "-f", absent}, "absent"},
      {{"--target-bpw", "3", "--imatrix", absent}, "absent"},
      {{"--target-bpw", "3", "--evaluate", absent}, "absent"},
  };
  for (const auto& [arguments, place] : cases) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    expect_refused(quantize(arguments), 3, place);
  }
}

TEST_F(DynamicOptions, OnTheCommandLineWinOverTheConfiguration) {
  const auto config = write("conf.yaml", "target: {bpw: 3}\nsensitivity: fisher\ncandidates: [Q3_K, Q6_K]\n");
  const auto result =
      quantize({"--config", config, "--target-bpw", "5", "--sensitivity", "prior", "--dry-run", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report.at("settings").at("target"), "5 bits per weight");
  EXPECT_EQ(report.at("settings").at("sensitivity"), "prior");
  EXPECT_EQ(report.at("settings").at("candidates"), nlohmann::json::array({"Q3_K", "Q6_K"}));
  EXPECT_LE(report.at("plan").at("bits_per_weight"), 5);
}

TEST_F(DynamicOptions, MakeFileAndReportInOneCommand) {
  const std::string json = folder_ / "report.json";
  const std::string page = folder_ / "report.html";
  const auto result = quantize(
      joined(kQuick, {"--target-bpw", "3", "--report", json, "--report", page, "--evaluate-samples", "2"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(folder_.names(), UnorderedElementsAre("out.gguf", "report.html", "report.json"));
  const auto report = nlohmann::json::parse(read_whole(json));
  EXPECT_EQ(schema_complaints("run-report.schema.json", report), "");
  EXPECT_NO_THROW(check_run_report(report, json));
  EXPECT_EQ(report.at("plan").at("file_bytes"), std::filesystem::file_size(output_));
  EXPECT_EQ(report.at("sensitivity").at("method"), "fisher");
  EXPECT_GT(report.at("evaluation").at("kl_divergence_mean"), 0);
  EXPECT_THAT(read_whole(page), HasSubstr("blk.0.attn_q.weight"));
}

TEST_F(DynamicOptions, SayThatLossesAreThoseOfErrorFeedback) {
  const std::string yaml = folder_ / "plan.yaml";
  const std::string json = folder_ / "report.json";
  const auto config = write("conf.yaml", "target: {bpw: 3.5}\ncandidates: [Q2_K, Q4_K]\n");
  const auto options = joined(
      kQuick, {"--config", config, "--encoder", "feedback", "--sweeps", "1", "--feedback-samples", "2"});
  const auto plan = run_program(joined({"plan", kModel, "-o", yaml}, options));
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const std::string encoder = "feedback sweeps=1 damping=0.02 sequential=true";
  EXPECT_EQ(read_plan(yaml).header.encoder, encoder);
  const auto made = quantize(joined(options, {"--report", json, "--evaluate-samples", "2"}));
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const auto report = nlohmann::json::parse(read_whole(json));
  EXPECT_EQ(schema_complaints("run-report.schema.json", report), "");
  EXPECT_EQ(report.at("settings").at("encoder"), encoder);
  EXPECT_EQ(report.at("sensitivity").at("with_feedback"), true);
}

TEST_F(DynamicOptions, KeepReportsAwayFromInputsAndMissingFolders) {
  const auto text = write("text.txt", read_whole(kText));
  for (const auto& report : {text, (folder_ / "absent/report.json").string()}) {
    expect_refused(quantize({"--target-bpw", "3", "-f", text, "--report", report}), 2, report);
  }
  EXPECT_EQ(read_whole(text), read_whole(kText));
}

TEST_F(DynamicOptions, PlanIsSavedInEveryForm) {
  const std::string yaml = folder_ / "plan.yaml";
  const std::string json = folder_ / "plan.json";
  const std::string types = folder_ / "types.txt";
  const auto result =
      run_program(joined({"plan", kModel, "--target-bpw", "3", "-o", yaml, "-o", json, "-o", types}, kQuick));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(folder_.names(), ElementsAre("plan.json", "plan.yaml", "types.txt"));
  const auto document = read_plan(yaml);
  const auto report = nlohmann::json::parse(read_whole(json));
  EXPECT_EQ(schema_complaints("run-report.schema.json", report), "");
  std::map<std::string, std::string> planned;
  for (const auto& tensor : report.at("plan").at("tensors")) planned[tensor.at("name")] = tensor.at("to");
  EXPECT_EQ(document.tensors.size(), 4u * 7u + 2u);
  for (const auto& tensor : document.tensors) EXPECT_EQ(planned.at(tensor.tensor), name_of(tensor.type));
  // A line for every quantized tensor: a pattern and a type.
  const auto list = read_whole(types);
  EXPECT_EQ(std::ranges::count(list, '='), 4 * 7 + 2) << list;
}

TEST_F(DynamicOptions, PlanShowsSizesAndLossesOverTheWholeRange) {
  const auto result = run_program({"plan", kModel, "--target-bpw", "4", "--sensitivity", "prior"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("predicted loss"), HasSubstr("dynamic "), HasSubstr("Q4_K "),
                    HasSubstr("would write"), HasSubstr("profile balanced, target 4 bits per weight")));
}

TEST_F(DynamicOptions, PlanThatWasSavedIsTakenBack) {
  const std::string yaml = folder_ / "plan.yaml";
  const auto planned = run_program(joined({"plan", kModel, "--target-bpw", "3", "-o", yaml}, kQuick));
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  const auto result = quantize(joined({"--plan", yaml, "--json"}, kQuick));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report.at("settings").at("plan"), yaml);
  EXPECT_LE(report.at("plan").at("bits_per_weight"), 3);
  for (const auto& tensor : report.at("plan").at("tensors"))
    EXPECT_THAT(tensor.at("reason").get<std::string>(),
                ::testing::AnyOf("--plan", std::string(name_of(ChoiceReason::kept))));
}

TEST_F(DynamicOptions, PlansWithOtherEndingsAreRefusedBeforeAnyWork) {
  for (const char* name : {"plan", "plan.yam", "plan.csv"}) {
    const auto result =
        run_program(joined({"plan", kModel, "--target-bpw", "3", "-o", folder_ / name}, kQuick));
    expect_refused(result, 2, ".yaml, .json");
  }
  const auto result =
      run_program(joined({"plan", kModel, "--target-bpw", "3", "-o", folder_ / "absent/plan.yaml"}, kQuick));
  expect_refused(result, 2, "absent/plan.yaml");
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(DynamicOptions, HelpOfBothCommandsHasAnExample) {
  for (const char* command : {"quantize", "plan"}) {
    const auto help = run_program({command, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.out, AllOf(HasSubstr("Example"), HasSubstr("--target-bpw"), HasSubstr("--config")));
  }
}

}  // namespace
}  // namespace tessera::testing
