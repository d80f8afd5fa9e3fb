#include "artifacts/smoothing_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifacts/smoothing_plan.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

using Kind = SmoothingStrength::Kind;

SmoothingConfig parse(const std::string& text) { return parse_smoothing_config(text, "smooth.yaml"); }

TEST(SmoothingConfig, TakesLaterRulesOverEarlierOnes) {
  const auto config = parse(
      "alpha: 0.6\n"
      "rules:\n"
      "  - {layers: [first 2], alpha: 0.7}\n"
      "  - {folds: [down, attention], layers: 1-3, alpha: auto}\n"
      "  - {layers: last 1, alpha: none}\n");
  const auto strength = [&](const char* fold, std::uint32_t layer) {
    return config.strength_of(fold, layer, 8);
  };
  EXPECT_EQ(strength("down", 0), (SmoothingStrength{Kind::fixed, 0.7}));
  EXPECT_EQ(strength("down", 1).kind, Kind::automatic);
  EXPECT_EQ(strength("feed_forward", 1), (SmoothingStrength{Kind::fixed, 0.7}));
  EXPECT_EQ(strength("feed_forward", 3), (SmoothingStrength{Kind::fixed, 0.6}));
  EXPECT_EQ(strength("attention", 7).kind, Kind::none);
}

TEST(SmoothingConfig, IsOneHalfWhereNothingIsSaid) {
  EXPECT_EQ(parse("rules: []\n").strength_of("down", 3, 8), (SmoothingStrength{Kind::fixed, 0.5}));
}

TEST(SmoothingConfig, SaysWhatIsWrongInWhichLine) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"alpha: 1.5\n", "smooth.yaml:1"},
      {"alpha: much\n", "auto or none"},
      {"alpha: nan\n", "from 0 to 1"},
      {"\nalhpa: 0.5\n", "smooth.yaml:2"},
      {"rules:\n - {folds: [dwon], alpha: 1}\n", "down"},
      {"rules:\n - {folds: down}\n", "no alpha"},
      {"rules:\n - {layers: x, alpha: 1}\n", "names no layers"},
      {"rules: 3\n", "rules"},
      {"rules:\n - {folds: [], alpha: 1}\n", "empty"},
  };
  for (const auto& [text, expected] : mistakes) {
    try {
      parse(text);
      ADD_FAILURE() << text << " was accepted";
    } catch (const BadFileError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(expected)) << text;
      EXPECT_THAT(error.what(), ::testing::HasSubstr("smooth.yaml:")) << text;
    }
  }
}

TEST(SmoothingConfig, TellsSettingsApartInOneLine) {
  EXPECT_NE(text_of(parse("alpha: 0.5")), text_of(parse("alpha: auto")));
  EXPECT_NE(text_of(parse("rules: [{layers: 1, alpha: 0.5}]")),
            text_of(parse("rules: [{layers: 2, alpha: 0.5}]")));
  EXPECT_NE(text_of(parse("rules: [{layers: first 1, alpha: 0.5}]")),
            text_of(parse("rules: [{layers: last 1, alpha: 0.5}]")));
}

TEST(SmoothingPlan, ComesBackFromJsonAsItWas) {
  const SmoothingPlan plan{
      {{.layer = 3,
        .fold = "down",
        .alpha = 0.1,
        .input_maxima = {0.1f, 3e-20f, 7},
        .weight_maxima = {1, 0.3f, 1e9f},
        .scales = {1.0 / 3, 1e-5, 2},
        .linears = {{"blk.3.ffn_down.weight", 0.25, 0.5, 1e-3, 2e-4, 1.0 / 7}}},
       {.layer = 4, .fold = "attention", .alpha = {}, .scales = {1}, .linears = {{"t"}}}}};
  EXPECT_EQ(smoothing_plan_from(nlohmann::json::parse(to_json(plan).dump()), "f"), plan);
}

TEST(SmoothingPlan, RefusesWhatIsNone) {
  for (const char* text : {"{}", "[]", "null", R"({"folds": 1})", R"({"folds": [{"layer": 1}]})"})
    EXPECT_THROW(smoothing_plan_from(nlohmann::json::parse(text), "file"), BadFileError) << text;
}

TEST(OutlierRatio, IsTheLargestOverTheMedian) {
  EXPECT_EQ(outlier_ratio(std::vector<double>{1, 2, 100}), 50);
  EXPECT_EQ(outlier_ratio({}), 0);
  EXPECT_EQ(outlier_ratio(std::vector<double>{0, 0, 5}), 0);
}

}  // namespace
}  // namespace tessera
