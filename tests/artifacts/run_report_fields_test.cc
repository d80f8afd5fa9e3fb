// The sample reports, that docs/run-report.schema.json describes them, and what is found in those that are
// none.
#include "artifacts/run_report_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "artifacts/schema_complaints.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

json sample(const std::string& name) {
  std::ifstream file(std::filesystem::path(TESSERA_TESTDATA) / "report" / name);
  return json::parse(file);
}

/// The message about `report`; empty when nothing is wrong with it.
std::string message_about(const json& report) {
  try {
    check_run_report(report, "r.json");
    return "";
  } catch (const BadFileError& error) {
    return error.what();
  }
}

TEST(RunReport, SamplesFollowTheSchemaAndPassTheCheck) {
  for (const std::string name : {"run-report.json", "bare-report.json"}) {
    EXPECT_EQ(testing::schema_complaints("run-report.schema.json", sample(name)), "") << name;
    EXPECT_EQ(message_about(sample(name)), "") << name;
  }
}

TEST(RunReport, SchemaRefusesWhatIsNotAsDescribed) {
  const json good = sample("run-report.json");
  for (const auto& [name, value] : good.items()) {
    json without = good;
    without.erase(name);
    EXPECT_NE(testing::schema_complaints("run-report.schema.json", without), "") << name;
  }
  json deeper = good;
  deeper["plan"]["tensors"][3].erase("reason");
  EXPECT_NE(testing::schema_complaints("run-report.schema.json", deeper), "");
  json evaluation = good;
  evaluation["evaluation"].erase("kl_divergence_mean");
  EXPECT_NE(testing::schema_complaints("run-report.schema.json", evaluation), "");
}

/// Every place in `value` that the schema says must be there, as JSON pointers; of a list the last item.
void list_places(const json& value, const json::json_pointer& at, std::vector<json::json_pointer>& places) {
  if (value.is_array() && !value.empty()) list_places(value.back(), at / (value.size() - 1), places);
  if (!value.is_object()) return;
  for (const auto& [key, inner] : value.items()) {
    places.push_back(at / key);
    list_places(inner, at / key, places);
  }
}

bool is_unchecked(const std::string& place) {
  // Values of settings are free, what a page does not show may be missing, and so may an older report's
  // histogram.
  for (const std::string free : {"/settings/", "/shape", "source_b", "/recipe", "/file_type", "histogram"}) {
    if (place.find(free) != std::string::npos) return true;
  }
  return place.starts_with("/evaluation/") && !place.starts_with("/evaluation/layer_errors");
}

TEST(RunReport, EveryMissingFieldIsNamedWithItsPlace) {
  const json good = sample("run-report.json");
  std::vector<json::json_pointer> places;
  list_places(good, json::json_pointer(), places);
  int checked = 0;
  for (const auto& place : places) {
    const bool is_skipped = is_unchecked(place.to_string()) || place.to_string().ends_with("/tensors/0") ||
                            place.to_string().find("layer_errors/5/tensors") != std::string::npos;
    if (is_skipped) continue;
    json without = good;
    without.at(place.parent_pointer()).erase(place.back());
    EXPECT_THAT(message_about(without), AllOf(HasSubstr("r.json"), HasSubstr(place.back()))) << place;
    ++checked;
  }
  EXPECT_GT(checked, 40);
}

TEST(RunReport, WrongTypesAreNamedWithTheirPlace) {
  const auto expect = [](const char* place, const json& value, const char* message) {
    json report = sample("run-report.json");
    report.at(json::json_pointer(place)) = value;
    EXPECT_THAT(message_about(report), HasSubstr(message)) << place;
  };
  expect("/model", 5, "\"model\" is to be a text, not this number");
  expect("/model", nullptr, "\"model\" is to be a text, not null");
  expect("/plan", json::array(), "\"plan\" is to be an object, not a list");
  expect("/plan/file_bytes", -1, "\"plan.file_bytes\" is to be a whole number from 0 on");
  expect("/plan/file_bytes", 1.5, "\"plan.file_bytes\" is to be a whole number from 0 on");
  expect("/plan/tensors", json::object(), "\"plan.tensors\" is to be a list, not object");
  expect("/plan/tensors/2", "x", "\"plan.tensors[2]\" is to be an object, not a text");
  expect("/plan/tensors/2", nullptr, "\"plan.tensors[2]\" is to be an object, not null");
  expect("/plan/tensors/2/layer", "x", "\"plan.tensors[2].layer\"");
  expect("/size_curve", nullptr, "\"size_curve\" is to be a list, not null");
  expect("/sensitivity/tensors/0/candidates/0/loss", "x", "\"sensitivity.tensors[0].candidates[0].loss\"");
  expect("/evaluation/kl_divergence_histogram/0/upper", 0, "is to be a number above 0");
  expect("/wall_seconds/0/seconds", json::array(), "\"wall_seconds[0].seconds\"");
}

TEST(RunReport, AnotherDocumentIsNone) {
  for (const char* text : {"[]", "3", "null", "\"x\"", "{}"})
    EXPECT_THAT(message_about(json::parse(text)), HasSubstr("no run report")) << text;
}

TEST(RunReport, AnOlderEvaluationMayLackTheHistogram) {
  json report = sample("run-report.json");
  report["evaluation"].erase("kl_divergence_histogram");
  EXPECT_EQ(message_about(report), "");
  report["evaluation"]["kl_divergence_histogram"] = nullptr;
  EXPECT_EQ(message_about(report), "");
}

}  // namespace
}  // namespace tessera
