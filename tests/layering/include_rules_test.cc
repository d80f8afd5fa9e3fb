#include "layering/include_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace tessera::layering {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::string quoted(const std::string& file, const std::string& target) {
  return objection({.file = file, .line = 1, .target = target, .quoted = true});
}
std::string system_header(const std::string& file, const std::string& target) {
  return objection({.file = file, .line = 1, .target = target, .quoted = false});
}

TEST(IncludeRules, DownwardsAndOwnLayerAreAllowed) {
  EXPECT_THAT(quoted("src/model/a.cc", "foundation/formats/gguf/metadata.h"), IsEmpty());
  EXPECT_THAT(quoted("src/foundation/codecs/a.cc", "foundation/codecs/codec.h"), IsEmpty());
  EXPECT_THAT(quoted("src/stages/encode/a.cc", "stages/encode/b.h"), IsEmpty());
  EXPECT_THAT(quoted("cli/quantize.cc", "pipeline/quantize.h"), IsEmpty());
  EXPECT_THAT(quoted("cli/quantize.cc", "options.h"), IsEmpty());
}

TEST(IncludeRules, UpwardsIsRefused) {
  EXPECT_THAT(quoted("src/foundation/base/a.cc", "foundation/tensor/element_type.h"), HasSubstr("higher"));
  EXPECT_THAT(quoted("src/foundation/codecs/a.cc", "foundation/formats/gguf/metadata.h"),
              HasSubstr("higher"));
  EXPECT_THAT(quoted("src/artifacts/a.h", "stages/write/write.h"), HasSubstr("higher"));
  EXPECT_THAT(quoted("src/pipeline/a.cc", "cli/options.h"), HasSubstr("higher"));
}

TEST(IncludeRules, AStageMayNotIncludeAnotherStage) {
  EXPECT_THAT(quoted("src/stages/encode/a.cc", "stages/write/b.h"), HasSubstr("another stage"));
  EXPECT_THAT(quoted("src/stages/encode.cc", "stages/write.h"), HasSubstr("another stage"));
  EXPECT_THAT(quoted("src/stages/encode.cc", "stages/encode.h"), IsEmpty());
}

TEST(IncludeRules, FilesOutsideTheLadderAndRelativePathsAreRefused) {
  EXPECT_THAT(quoted("src/utils/a.cc", "foundation/base/error.h"), HasSubstr("no folder"));
  EXPECT_THAT(quoted("src/model/a.cc", "helpers.h"), HasSubstr("no folder"));
  EXPECT_THAT(quoted("src/model/a.cc", "../foundation/base/error.h"), HasSubstr("'..'"));
}

TEST(IncludeRules, TheProgramUsesInstalledHeadersOnly) {
  EXPECT_THAT(quoted("cli/a.cc", "foundation/codecs/tile_encoder-inl.h"), HasSubstr("not installed"));
}

TEST(IncludeRules, LibrariesWithOneHomeAreKeptThere) {
  EXPECT_THAT(system_header("src/foundation/codecs/ggml_encoder.cc", "ggml.h"), IsEmpty());
  EXPECT_THAT(system_header("src/pipeline/a.cc", "ggml.h"), HasSubstr("only"));
  EXPECT_THAT(system_header("src/model/a.cc", "oneapi/dnnl/dnnl.hpp"), HasSubstr("only"));
  EXPECT_THAT(system_header("src/model/a.cc", "CLI/CLI.hpp"), HasSubstr("only"));
  EXPECT_THAT(system_header("src/model/a.cc", "iostream"), HasSubstr("never prints"));
  EXPECT_THAT(system_header("src/model/a.cc", "vector"), IsEmpty());
}

TEST(IncludeRules, IncludeLinesAreFoundWithTheirPlace) {
  const auto found =
      includes_of("// a\n#include <vector>\n\n  # include \"model/a.h\"  // why\nint x;\n", "src/f.cc");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].target, "vector");
  EXPECT_FALSE(found[0].quoted);
  EXPECT_EQ(found[1].target, "model/a.h");
  EXPECT_EQ(found[1].line, 4);
  EXPECT_TRUE(found[1].quoted);
}

TEST(Repository, EveryIncludeKeepsTheHouseRules) {
  const std::filesystem::path root = TESSERA_SOURCE;
  std::size_t files = 0;
  for (const char* top : {"src", "cli"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".cc" && extension != ".h") continue;
      ++files;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      for (const auto& include : includes_of(text.str(), entry.path().lexically_relative(root).string())) {
        EXPECT_THAT(objection(include), IsEmpty())
            << include.file << ":" << include.line << ": " << include.target;
      }
    }
  }
  EXPECT_GT(files, 20u) << "the sources were not found under " << root;
}

}  // namespace
}  // namespace tessera::layering
