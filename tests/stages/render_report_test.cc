// The page as text; tests/report looks at it in a browser.
#include "stages/render_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <string>

namespace tessera {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kOpening = "<script type=\"application/json\" id=\"run-report\">";

/// The text between the opening of the embedded report and the next end of a script, as a browser cuts it
/// out.
std::string embedded_text(const std::string& page) {
  const auto begin = page.find(kOpening) + kOpening.size();
  return page.substr(begin, page.find("</script", begin) - begin);
}

TEST(RenderReport, TheReportInsideIsTheOneGiven) {
  const json report = {
      {"name", "</script><!--<script>\"'\\ \u2028\u2029 {{page.css}}"}, {"value", 0.1}, {"none", nullptr}};
  const std::string text = embedded_text(stages::render_report(report));
  EXPECT_EQ(json::parse(text), report);
  EXPECT_THAT(text, Not(HasSubstr("<")));
  EXPECT_THAT(text, Not(HasSubstr("\u2028")));
  EXPECT_THAT(text, Not(HasSubstr("\u2029")));
}

TEST(RenderReport, BytesThatAreNoUtf8AreReplaced) {
  const std::string text = embedded_text(stages::render_report({{"path", "a\xff"}}));
  EXPECT_EQ(json::parse(text)["path"], "a\ufffd");
}

TEST(RenderReport, ThePageIsWholeAndMayFetchNothing) {
  const std::string page = stages::render_report(json::object());
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  for (const char* part : {"{{page.css}}", "{{page.js}}", "{{licences.txt}}", "{{report}}"})
    EXPECT_THAT(page, Not(HasSubstr(part)));
  const std::regex outside(
      R"re((src|href|action)\s*=\s*["']?\s*(https?:)?//|url\(\s*["']?\s*(https?:)?//|@import)re");
  EXPECT_FALSE(std::regex_search(page, outside));
}

TEST(RenderReport, ThePageKeepsTheLicencesOfWhatIsInIt) {
  const std::string page = stages::render_report(json::object());
  EXPECT_THAT(page, HasSubstr("@observablehq/plot 0."));
  EXPECT_THAT(page, HasSubstr("d3-scale "));
  EXPECT_THAT(page, HasSubstr("Permission to use, copy, modify, and/or distribute this software"));
}

}  // namespace
}  // namespace tessera
