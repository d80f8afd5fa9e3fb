// Reports of smoothing runs from the outside: as JSON, as a page, and a page made of the JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "artifacts/run_report_fields.h"
#include "artifacts/schema_complaints.h"
#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;

const std::string kModel = TESSERA_TESTDATA "/demo-model";
const std::string kText = TESSERA_TESTDATA "/demo.txt";

class SmoothQuantReports : public ::testing::Test {
 protected:
  SmoothQuantReports() { ::setenv("XDG_CACHE_HOME", cache_.path().c_str(), 1); }

  /// `tessera smoothquant MODEL -o FOLDER/out` on little text, with `options`.
  ProgramResult smoothquant(const std::vector<std::string>& options) const {
    std::vector<std::string> all = {
        "smoothquant", kModel,      "-o", (folder_ / "out").string(), "-f", kText, "--ctx-size",
        "32",          "--samples", "2",  "--evaluate-samples",       "2",  "-q"};
    all.insert(all.end(), options.begin(), options.end());
    return run_program(all);
  }

  ScratchFolder cache_;
  ScratchFolder folder_;
};

TEST_F(SmoothQuantReports, FollowTheSchemaAndBecomeThePageThatTheRunItselfWrites) {
  const std::string json = folder_ / "report.json";
  const std::string page = folder_ / "report.html";
  const auto result = smoothquant({"--alpha", "auto", "--report", json, "--report", page});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(read_whole(json));
  EXPECT_EQ(schema_complaints("smoothquant-report.schema.json", report), "");
  EXPECT_NO_THROW(check_run_report(report, json));
  EXPECT_EQ(report.at("form"), "w8a8");
  EXPECT_EQ(report.at("folds").size(), 4u * 4u);
  EXPECT_EQ(report.at("evaluation").at("variants").size(), 3u);
  EXPECT_THAT(read_whole(page), HasSubstr("blk.3.ffn_down.weight"));
  const std::string again = folder_ / "again.html";
  EXPECT_EQ(run_program({"report", json, "-o", again}).exit_code, 0);
  EXPECT_THAT(read_whole(again), HasSubstr("blk.3.ffn_down.weight"));
}

TEST_F(SmoothQuantReports, OfAModelLeftAloneHaveNoAlpha) {
  const std::string json = folder_ / "report.json";
  const auto result = smoothquant({"--alpha", "none", "--smooth-only", "--report", json});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(read_whole(json));
  EXPECT_EQ(schema_complaints("smoothquant-report.schema.json", report), "");
  EXPECT_EQ(report.at("form"), "smoothed");
  ASSERT_FALSE(report.at("folds").empty());
  for (const auto& fold : report.at("folds")) {
    EXPECT_TRUE(fold.at("alpha").is_null());
    EXPECT_EQ(fold.at("original"), fold.at("smoothed"));
  }
}

TEST_F(SmoothQuantReports, OfAnotherKindAreRefusedWithTheirName) {
  const std::string json = folder_ / "other.json";
  write_whole(json, R"({"kind": "distill"})");
  const auto result = run_program({"report", json, "-o", (folder_ / "page.html").string()});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, ::testing::AllOf(HasSubstr("other.json"), HasSubstr("distill")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "page.html"));
}

}  // namespace
}  // namespace tessera::testing
