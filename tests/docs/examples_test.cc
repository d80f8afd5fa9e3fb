// Every fenced block marked `sh` in the documentation runs as written, with tessera in PATH, from a folder
// that shows the repository's testdata/. (Blocks without the mark are for the reader: they install packages
// or need other files.)
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace tessera::docs {
namespace {

namespace fs = std::filesystem;

struct Example {
  std::string file;
  int line = 0;  ///< of the opening fence
  std::string script;
};

std::vector<Example> examples_of(std::istream& text, const std::string& file) {
  std::vector<Example> found;
  bool inside = false;
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    if (!inside && line == "```sh") {
      inside = true;
      found.push_back({file, number, ""});
    } else if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      found.back().script += line + "\n";
    }
  }
  return found;
}

std::vector<fs::path> documents(const fs::path& root) {
  std::vector<fs::path> files{root / "README.md", root / "CONTRIBUTING.md"};
  for (const auto& entry : fs::directory_iterator(root / "docs")) {
    if (entry.path().extension() == ".md") files.push_back(entry.path());
  }
  return files;
}

std::string content_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// A fresh folder with the repository's testdata in it, removed at the end.
class DocumentedExamples : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    fs::create_directory_symlink(TESSERA_TESTDATA, folder_ / "testdata");
  }
  void TearDown() override { fs::remove_all(folder_); }

  int run(const std::string& script) const {
    std::ofstream(folder_ / "example.sh")
        << "set -e\nPATH=" << fs::path(TESSERA_PROGRAM).parent_path().string() << ":$PATH\n"
        << script;
    return std::system(("cd '" + folder_.string() + "' && sh example.sh >output.txt 2>&1").c_str());
  }

  // Each test runs in a process of its own, side by side with others.
  const fs::path folder_ = fs::path(testing::TempDir()) / ("tessera_docs_" + std::to_string(::getpid()));
};

TEST_F(DocumentedExamples, AFenceMarkedShIsFoundWithItsPlaceAndText) {
  std::istringstream text("a\n```sh\nx 1\ny 2\n```\n```\nnot run\n```\n");
  const auto examples = examples_of(text, "f.md");
  ASSERT_EQ(examples.size(), 1u);
  EXPECT_EQ(examples[0].line, 2);
  EXPECT_EQ(examples[0].script, "x 1\ny 2\n");
}

TEST_F(DocumentedExamples, AFailingLineFailsTheExample) { EXPECT_NE(run("false\ntrue\n"), 0); }

TEST_F(DocumentedExamples, AllRunAsWritten) {
  const fs::path root = TESSERA_SOURCE;
  int count = 0;
  for (const auto& path : documents(root)) {
    std::ifstream text(path);
    for (const auto& example : examples_of(text, path.lexically_relative(root).string())) {
      ++count;
      EXPECT_EQ(run(example.script), 0) << example.file << ":" << example.line << "\n"
                                        << example.script << content_of(folder_ / "output.txt");
    }
  }
  EXPECT_GT(count, 0) << "no example was found under " << root;
}

}  // namespace
}  // namespace tessera::docs
