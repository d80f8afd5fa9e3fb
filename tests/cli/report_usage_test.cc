// The report command from the outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/run_program.h"
#include "pipeline/small_model.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using testing::run_program;
using testing::ScratchFolder;

const std::string kReport = TESSERA_TESTDATA "/report/run-report.json";

TEST(ReportCommand, WritesThePageAndNothingElse) {
  const ScratchFolder folder;
  const auto result = run_program({"report", kReport, "-o", (folder / "page.html").string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out + result.err, "");
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("page.html"));
  EXPECT_THAT(testing::read_whole(folder / "page.html"), HasSubstr("blk.5.ffn_down.weight"));
}

TEST(ReportCommand, SaysWhatIsWrongWithAnExitCodeOfItsKind) {
  const ScratchFolder folder;
  testing::write_whole(folder / "empty.json", "{}");
  testing::write_whole(folder / "broken.json", "{\"model\": ");
  testing::write_whole(folder / "deep.json", std::string(100000, '['));
  testing::write_whole(folder / "copy.json", testing::read_whole(kReport));
  const auto page = (folder / "page.html").string();
  const auto expect = [](const std::vector<std::string>& arguments, int code, const std::string& message) {
    const auto result = run_program(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  expect({"report", kReport}, 2, "--output");
  expect({"report", "-o", page}, 2, "report");
  expect({"report", (folder / "missing.json").string(), "-o", page}, 3, "missing.json");
  expect({"report", (folder / "empty.json").string(), "-o", page}, 3, "\"tessera_version\"");
  expect({"report", (folder / "broken.json").string(), "-o", page}, 3, "broken.json");
  expect({"report", (folder / "deep.json").string(), "-o", page}, 3, "deep.json");
  expect({"report", (folder / "copy.json").string(), "-o", (folder / "copy.json").string()}, 2, "copy.json");
  expect({"report", kReport, "-o", (folder / "no-folder" / "page.html").string()}, 2, "no-folder");
  EXPECT_THAT(folder.names(),
              ::testing::UnorderedElementsAre("broken.json", "copy.json", "deep.json", "empty.json"));
}

}  // namespace
}  // namespace tessera
