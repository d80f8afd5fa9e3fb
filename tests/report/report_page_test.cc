// The page in a browser: headless Chromium draws it, and what it drew and complained of is read. Skips
// without Chromium.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "pipeline/small_model.h"
#include "stages/render_report.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string chromium() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    if (std::system(("command -v " + std::string(name) + " >/dev/null 2>&1").c_str()) == 0) return name;
  }
  return "";
}

json sample(const std::string& name) {
  std::ifstream file(fs::path(TESSERA_TESTDATA) / "report" / name);
  return json::parse(file);
}

struct DrawnPage {
  int status = -1;
  std::string dom;      ///< the document after the scripts ran, as HTML
  std::string console;  ///< the lines that the page wrote to the console, errors among them
};

class ReportPage : public ::testing::Test {
 protected:
  void SetUp() override {
    if (chromium().empty()) GTEST_SKIP() << "no chromium in PATH: install the Debian package chromium";
  }

  DrawnPage draw_page(const std::string& page, int width = 1280) const {
    testing::write_whole(folder_ / "page.html", page);
    const std::string folder = folder_.path().string();
    // The virtual clock jumps ahead whenever the page has nothing to do, so that no observer is left waiting.
    const std::string command =
        chromium() +
        " --headless --no-sandbox --disable-gpu --disable-background-networking --enable-logging=stderr" +
        " --virtual-time-budget=5000 --window-size=" + std::to_string(width) + ",900 --user-data-dir='" +
        folder + "/profile' --dump-dom 'file://" + folder + "/page.html' >'" + folder + "/dom.html' 2>'" +
        folder + "/log.txt'";
    DrawnPage drawn;
    drawn.status = std::system(command.c_str());
    drawn.dom = testing::read_whole(folder_ / "dom.html");
    std::ifstream log(folder_ / "log.txt");
    for (std::string line; std::getline(log, line);) {
      if (line.find("CONSOLE") != std::string::npos) drawn.console += line + "\n";
    }
    return drawn;
  }

  DrawnPage draw(const json& report, int width = 1280) const {
    return draw_page(stages::render_report(report), width);
  }

 private:
  const testing::ScratchFolder folder_;
};

/// The number in `attribute` of the chart in this section; -1 where there is no chart.
int chart_number(const std::string& dom, const std::string& section, const std::string& attribute) {
  const auto begin = dom.find("<section id=\"" + section + "\"");
  if (begin == std::string::npos) return -1;
  const std::string text = dom.substr(begin, dom.find("</section>", begin) - begin);
  std::smatch found;
  if (!std::regex_search(text, found, std::regex("data-" + attribute + "=\"([0-9]+)\""))) return -1;
  return std::stoi(found[1]);
}

int marks(const std::string& dom, const std::string& section) { return chart_number(dom, section, "marks"); }

/// Pairs of layer and role that hold a matrix.
int cells_of(const json& report) {
  std::set<std::pair<int, std::string>> cells;
  for (const auto& tensor : report["plan"]["tensors"]) {
    if (tensor["reason"] != "kept" && !tensor["layer"].is_null())
      cells.emplace(tensor["layer"].get<int>(), tensor["role"].get<std::string>());
  }
  return static_cast<int>(cells.size());
}

TEST_F(ReportPage, AConsoleErrorWouldBeSeen) {
  const auto drawn =
      draw_page("<!DOCTYPE html><title>x</title><script>throw new Error('thrown on purpose')</script>");
  EXPECT_THAT(drawn.console, HasSubstr("thrown on purpose"));
}

TEST_F(ReportPage, EveryChartHasAMarkForEachFigure) {
  const json report = sample("run-report.json");
  const auto drawn = draw(report);
  EXPECT_EQ(drawn.status, 0);
  EXPECT_EQ(drawn.console, "");
  constexpr int kRunAndCurve = 3;  // predicted, measured, the line
  EXPECT_EQ(marks(drawn.dom, "size"), static_cast<int>(report["uniform"].size()) + kRunAndCurve);
  EXPECT_EQ(marks(drawn.dom, "bits"), cells_of(report));
  EXPECT_EQ(marks(drawn.dom, "errors"), static_cast<int>(report["evaluation"]["layer_errors"].size()));
  EXPECT_EQ(marks(drawn.dom, "divergence"),
            static_cast<int>(report["evaluation"]["kl_divergence_histogram"].size()));
  EXPECT_EQ(marks(drawn.dom, "sensitivity"),
            2 * 15);  // of the first 15: in the type they got, in the smallest
}

TEST_F(ReportPage, KeyFiguresSettingsAndProvenanceAreShown) {
  const auto drawn = draw(sample("run-report.json"));
  for (const char* text :
       {"Bits per weight", "Perplexity", "Top-1 agreement", "2.5 bits per weight", "balanced",
        "/data/books.calibration.txt", "fedcba9876543210fedcba9876543210", "importance matrix"})
    EXPECT_THAT(drawn.dom, HasSubstr(text));
}

TEST_F(ReportPage, ChartsAreAsWideAsTheirPlace) {
  const json report = sample("run-report.json");
  const auto wide = draw(report, 1280);
  const auto narrow = draw(report, 600);
  EXPECT_EQ(narrow.console, "");
  for (const char* section : {"size", "bits", "errors", "divergence", "sensitivity"}) {
    EXPECT_GT(chart_number(narrow.dom, section, "width"), 200) << section;
    EXPECT_LT(chart_number(narrow.dom, section, "width"), 600) << section;
    EXPECT_GT(marks(narrow.dom, section), 0) << section;
  }
  EXPECT_GT(chart_number(wide.dom, "size", "width"), 900);
}

TEST_F(ReportPage, WithoutEvaluationAndSensitivityItSaysSo) {
  const auto drawn = draw(sample("bare-report.json"));
  EXPECT_EQ(drawn.status, 0);
  EXPECT_EQ(drawn.console, "");
  EXPECT_THAT(drawn.dom, HasSubstr("No loss was predicted or measured in this run."));
  EXPECT_THAT(drawn.dom, HasSubstr("No errors of layers were measured in this run."));
  EXPECT_THAT(drawn.dom, HasSubstr("The model was not evaluated against its original in this run."));
  EXPECT_THAT(drawn.dom, HasSubstr("No sensitivities were needed or found in this run."));
  for (const char* word : {"NaN", "undefined", "Infinity"}) {
    const auto shown = drawn.dom.substr(0, drawn.dom.find("id=\"run-report\""));
    EXPECT_THAT(shown, Not(HasSubstr(word)));
  }
}

TEST_F(ReportPage, NamesFromFilesStayText) {
  const auto drawn = draw(sample("bare-report.json"));
  EXPECT_EQ(drawn.console, "");
  const std::string shown = drawn.dom.substr(0, drawn.dom.find("id=\"run-report\""));
  EXPECT_THAT(shown,
              HasSubstr("&lt;/script&gt;&lt;script&gt;document.title=\"taken\"&lt;/script&gt;&lt;img"));
  EXPECT_THAT(shown, Not(HasSubstr("<img")));
  EXPECT_THAT(shown, Not(HasSubstr("<title>taken")));
}

int smoothed_folds(const json& report) {
  return static_cast<int>(
      std::ranges::count_if(report["folds"], [](const json& fold) { return !fold["alpha"].is_null(); }));
}

TEST_F(ReportPage, OfSmoothingHasADotBeforeAndOneAfterForEachFold) {
  const json report = sample("smoothquant-report.json");
  const int folds = static_cast<int>(report["folds"].size());
  for (const int width : {1280, 600}) {
    const auto drawn = draw(report, width);
    EXPECT_EQ(drawn.status, 0);
    EXPECT_EQ(drawn.console, "");
    EXPECT_EQ(marks(drawn.dom, "w8a8-errors"), 2 * folds);
    EXPECT_EQ(marks(drawn.dom, "outliers"), 2 * folds);
    EXPECT_EQ(marks(drawn.dom, "alphas"), smoothed_folds(report));
    EXPECT_LT(smoothed_folds(report), folds) << "one fold of the sample was left alone";
    for (const char* section : {"w8a8-errors", "outliers", "alphas"})
      EXPECT_LT(chart_number(drawn.dom, section, "width"), width) << section;
  }
}

TEST_F(ReportPage, OfSmoothingShowsPerplexitiesAndEveryFoldAndLinear) {
  const json report = sample("smoothquant-report.json");
  const std::string dom = draw(report).dom;
  const std::string shown = dom.substr(0, dom.find("id=\"run-report\""));
  EXPECT_THAT(shown, HasSubstr("Smoothed model in 8 bits (W8A8)"));
  for (const char* text :
       {"Perplexity, original", "Perplexity, W8A8 without smoothing", "81.0881", "+221", "25.3134",
        "/data/books.calibration.txt", "/models/story-20m-W8A8", "alpha=auto", "24 folds", "42 linears"})
    EXPECT_THAT(shown, HasSubstr(text));
  for (const auto& fold : report["folds"]) {
    for (const auto& linear : fold["linears"])
      EXPECT_THAT(shown, HasSubstr(linear["tensor"].get<std::string>()));
  }
}

TEST_F(ReportPage, OfSmoothingWithoutFiguresSaysSoAndKeepsNamesText) {
  const auto drawn = draw(sample("bare-smoothquant-report.json"));
  EXPECT_EQ(drawn.status, 0);
  EXPECT_EQ(drawn.console, "");
  const std::string shown = drawn.dom.substr(0, drawn.dom.find("id=\"run-report\""));
  for (const char* text :
       {"The models were not evaluated in this run.", "No errors above zero were measured in this run.",
        "No input of a fold has an outlier ratio.", "No fold was smoothed.", "1 fold", "1 linear",
        "&lt;/script&gt;&lt;script&gt;document.title=\"taken\"&lt;/script&gt;&lt;img"})
    EXPECT_THAT(shown, HasSubstr(text));
  for (const char* text : {"<img", "<title>taken", "NaN", "undefined", "Infinity"})
    EXPECT_THAT(shown, Not(HasSubstr(text)));
}

TEST_F(ReportPage, OfSmoothingDrawsExtremeFiguresAndHostileNamesOfFolds) {
  json report = sample("smoothquant-report.json");
  for (auto& fold : report["folds"]) {
    for (auto& linear : fold["linears"]) linear["naive_error"] = nullptr;
    fold["fold"] = "<img src=x>" + std::string(400, 'x') + fold["fold"].get<std::string>();
    fold["original"]["input"]["outlier_ratio"] = 1e300;
    fold["alpha"] = 7;
  }
  const int folds = static_cast<int>(report["folds"].size());
  const auto drawn = draw(report, 600);
  EXPECT_EQ(drawn.console, "");
  EXPECT_THAT(drawn.dom.substr(0, drawn.dom.find("id=\"run-report\"")), Not(HasSubstr("<img")));
  EXPECT_EQ(marks(drawn.dom, "w8a8-errors"), folds) << "of smoothing alone";
  EXPECT_EQ(marks(drawn.dom, "outliers"), 2 * folds);
  EXPECT_EQ(marks(drawn.dom, "alphas"), folds);
}

TEST_F(ReportPage, AnOlderEvaluationShowsPercentiles) {
  json report = sample("run-report.json");
  report["evaluation"].erase("kl_divergence_histogram");
  report["evaluation"]["layer_errors"] = json::array();
  const auto drawn = draw(report);
  EXPECT_EQ(drawn.console, "");
  EXPECT_EQ(marks(drawn.dom, "divergence"), 6 + 1);  // six percentiles and the line through them
  EXPECT_EQ(marks(drawn.dom, "errors"), 6) << "from the weights of the plan";
}

TEST_F(ReportPage, ExtremeFiguresDrawWithoutComplaint) {
  json report = sample("run-report.json");
  for (auto& point : report["size_curve"]) point["predicted_loss"] = 0;
  for (auto& point : report["uniform"]) point["predicted_loss"] = nullptr;
  for (auto& tensor : report["sensitivity"]["tensors"]) {
    for (auto& candidate : tensor["candidates"]) candidate["loss"] = 0;
  }
  for (auto& tensor : report["plan"]["tensors"]) tensor["bits_per_weight"] = nullptr;
  report["plan"]["predicted_loss"] = -1e-9;
  report["evaluation"]["kl_divergence_histogram"] = json::array({{{"upper", 1e-6}, {"tokens", 5}}});
  const auto drawn = draw(report);
  EXPECT_EQ(drawn.console, "");
  EXPECT_EQ(marks(drawn.dom, "size"), 1) << "only the measured divergence is above 0";
  EXPECT_EQ(marks(drawn.dom, "divergence"), 1);
}

}  // namespace
}  // namespace tessera
