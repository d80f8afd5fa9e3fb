// The sample reports, that the schemas of docs/ describe them, and what is found in those that are none.
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

TEST(SmoothQuantReport, SamplesFollowTheSchemaAndPassTheCheck) {
  for (const std::string name : {"smoothquant-report.json", "bare-smoothquant-report.json"}) {
    EXPECT_EQ(testing::schema_complaints("smoothquant-report.schema.json", sample(name)), "") << name;
    EXPECT_EQ(message_about(sample(name)), "") << name;
  }
}

/// That `schema` wants every key at the top of `good`.
void expect_each_is_required(const json& good, const std::string& schema) {
  for (const auto& [name, value] : good.items()) {
    json without = good;
    without.erase(name);
    EXPECT_NE(testing::schema_complaints(schema, without), "") << name;
  }
}

TEST(RunReport, SchemaRefusesWhatIsNotAsDescribed) {
  const json good = sample("run-report.json");
  expect_each_is_required(good, "run-report.schema.json");
  json deeper = good;
  deeper["plan"]["tensors"][3].erase("reason");
  EXPECT_NE(testing::schema_complaints("run-report.schema.json", deeper), "");
  json evaluation = good;
  evaluation["evaluation"].erase("kl_divergence_mean");
  EXPECT_NE(testing::schema_complaints("run-report.schema.json", evaluation), "");
}

TEST(SmoothQuantReport, SchemaRefusesWhatIsNotAsDescribed) {
  const json good = sample("smoothquant-report.json");
  expect_each_is_required(good, "smoothquant-report.schema.json");
  const auto expect_refused = [&good](const char* place, const json& value) {
    json bad = good;
    bad.at(json::json_pointer(place)) = value;
    EXPECT_NE(testing::schema_complaints("smoothquant-report.schema.json", bad), "") << place;
  };
  expect_refused("/kind", "quantize");
  expect_refused("/form", "w4a4");
  expect_refused("/created", "yesterday");
  expect_refused("/folds/3/alpha", 1.01);
  expect_refused("/folds/3/original/input", nullptr);
  expect_refused("/folds/3/linears/0/naive_error", -0.5);
  expect_refused("/evaluation/variants/0/model", "another");
  expect_refused("/provenance/files/0/xxh128", "short");
  expect_refused("/wall_seconds/0/seconds", "1");
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

/// That a report without what stands at `place` is refused with its name.
void expect_missing_is_named(const json& good, const json::json_pointer& place) {
  json without = good;
  without.at(place.parent_pointer()).erase(place.back());
  EXPECT_THAT(message_about(without), AllOf(HasSubstr("r.json"), HasSubstr(place.back()))) << place;
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
    expect_missing_is_named(good, place);
    ++checked;
  }
  EXPECT_GT(checked, 40);
}

TEST(SmoothQuantReport, EveryMissingFieldIsNamedWithItsPlace) {
  const json good = sample("smoothquant-report.json");
  std::vector<json::json_pointer> places;
  list_places(good, json::json_pointer(), places);
  std::erase(places, json::json_pointer("/kind"));  // without it: the report of a quantization run
  // Values of settings are free.
  std::erase_if(places, [](const auto& place) { return place.to_string().starts_with("/settings/"); });
  EXPECT_GT(places.size(), 40u);
  for (const auto& place : places) expect_missing_is_named(good, place);
}

/// Puts a value at a place of a sample, and looks for what is said of it.
class WrongTypes {
 public:
  explicit WrongTypes(const std::string& name) : good_(sample(name)) {}

  void operator()(const char* place, const json& value, const char* message) const {
    json report = good_;
    report.at(json::json_pointer(place)) = value;
    EXPECT_THAT(message_about(report), HasSubstr(message)) << place;
  }

 private:
  json good_;
};

TEST(RunReport, WrongTypesAreNamedWithTheirPlace) {
  const WrongTypes expect("run-report.json");
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

TEST(SmoothQuantReport, WrongTypesAreNamedWithTheirPlace) {
  const WrongTypes expect("smoothquant-report.json");
  expect("/folds", nullptr, "\"folds\" is to be a list, not null");
  expect("/folds/2", 7, "\"folds[2]\" is to be an object, not this number");
  expect("/folds/2/alpha", "auto", "\"folds[2].alpha\" is to be a number or null, not a text");
  expect("/folds/2/smoothed/weights/maximum", false, "\"folds[2].smoothed.weights.maximum\"");
  expect("/folds/2/linears/0/tensor", nullptr, "\"folds[2].linears[0].tensor\" is to be a text, not null");
  expect("/evaluation", json::array(), "\"evaluation\" is to be an object or null, not a list");
}

TEST(RunReport, OfAnUnknownKindIsRefusedAndTold) {
  for (const json& kind : {json("distill"), json(nullptr), json(3), json("a\x1b[2J\xff")}) {
    json report = sample("smoothquant-report.json");
    report["kind"] = kind;
    const std::string message = message_about(report);
    EXPECT_THAT(message, AllOf(HasSubstr("r.json"), HasSubstr("\"kind\""), HasSubstr("smoothquant")));
    EXPECT_THAT(message, ::testing::Not(HasSubstr("\x1b")));
  }
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
