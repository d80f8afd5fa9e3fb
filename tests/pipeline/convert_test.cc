// Hugging Face folders against the files that llama.cpp's converter makes of them (testdata/convert, made by
// tools/compare_convert.sh).
#include "pipeline/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "foundation/base/error.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

const fs::path kModels = fs::path(TESSERA_TESTDATA) / "convert";

ConvertReport run(const fs::path& model, const fs::path& output,
                  std::optional<ElementType> type = std::nullopt) {
  SilentProgress progress;
  const StopFlag stop;
  return convert({.model = model, .output = output, .type = type}, progress, stop);
}

class ReferenceModel : public ::testing::TestWithParam<const char*> {};

TEST_P(ReferenceModel, ConvertsToTheReferencesBytes) {
  testing::ScratchFolder folder;
  run(kModels / GetParam(), folder / "out.gguf");
  const std::string ours = testing::read_whole(folder / "out.gguf");
  const std::string reference = testing::read_whole(kModels / (std::string(GetParam()) + ".gguf"));
  ASSERT_FALSE(reference.empty());
  EXPECT_TRUE(ours == reference) << "tools/compare_gguf.py says what differs";
}

INSTANTIATE_TEST_SUITE_P(Families, ReferenceModel,
                         ::testing::Values("llama-3-tied", "llama-bias", "llama-gpt2", "mistral", "qwen2",
                                           "qwen3", "mixtral", "qwen2-moe", "qwen3-moe"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(Convert, TypeIsAppliedToMatricesOnly) {
  testing::ScratchFolder folder;
  const auto report = run(kModels / "qwen3", folder / "out.gguf", ElementType::BF16);
  for (const auto& tensor : report.plan.tensors) {
    EXPECT_EQ(tensor.target, tensor.source.shape.size() > 1 ? ElementType::BF16 : ElementType::F32)
        << tensor.source.name;
  }
  const auto model = model::open_model(folder / "out.gguf");
  EXPECT_EQ(model.metadata.unsigned_integer("general.file_type"), 32u);
}

TEST(Convert, FilesAreRefusedAsModels) {
  testing::ScratchFolder folder;
  EXPECT_THROW(run(kModels / "qwen3.gguf", folder / "out.gguf"), UsageError);
}

/// A copy of a good folder in which one file is replaced (or, with nullptr, removed).
struct BrokenFolder {
  std::string name;
  std::string file;
  const char* content;
  std::string says;
};

void PrintTo(const BrokenFolder& value, std::ostream* out) { *out << value.name; }

class RefusedFolder : public ::testing::TestWithParam<BrokenFolder> {};

TEST_P(RefusedFolder, SaysWhatIsWrongAndLeavesNothing) {
  testing::ScratchFolder folder;
  const fs::path model = folder / "model";
  fs::copy(kModels / "qwen2", model);
  fs::remove(model / GetParam().file);
  if (GetParam().content != nullptr) testing::write_whole(model / GetParam().file, GetParam().content);
  try {
    run(model, folder / "out.gguf");
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(GetParam().says));
  }
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("model"));
}

INSTANTIATE_TEST_SUITE_P(
    Broken, RefusedFolder,
    ::testing::Values(
        BrokenFolder{"NoConfig", "config.json", nullptr, "config.json"},
        BrokenFolder{"ConfigIsEmpty", "config.json", "", "config.json"},
        BrokenFolder{"ConfigIsCut", "config.json", "{\"architectures\": [\"Qwen2", "config.json"},
        BrokenFolder{"NoTokenizer", "tokenizer.json", nullptr, "tokenizer"},
        BrokenFolder{"TokenizerIsText", "tokenizer.json", "version https://git-lfs", "tokenizer.json"},
        BrokenFolder{"TokenizerConfigIsAList", "tokenizer_config.json", "[1]", "tokenizer_config.json"},
        BrokenFolder{"GenerationConfigIsCut", "generation_config.json", "{\"top_k\": ", "generation_config"},
        BrokenFolder{"SamplingIsText", "generation_config.json", R"({"top_k": "many"})", "top_k"},
        BrokenFolder{"CardIsNoYaml", "README.md", "---\nlicense: [\n---\n", "README.md"},
        BrokenFolder{"TokenizerModelIsText", "tokenizer.model", "version https://git-lfs", "tokenizer.model"},
        BrokenFolder{"ShardIsMissing", "model-00002-of-00002.safetensors", nullptr, "model-00002"},
        BrokenFolder{"ShardIsEmpty", "model-00002-of-00002.safetensors", "", "model-00002"}),
    [](const auto& parameter) { return parameter.param.name; });

/// The whole comparison, made anew: models, llama.cpp's converter, ours. Needs the tools of ../shared/peers.
TEST(Convert, EqualsTheConverterOnFreshlyMadeModels) {
  const fs::path peers = fs::path(TESSERA_SHARED) / "peers" / "run";
  const fs::path text = fs::path(TESSERA_SHARED) / "data" / "demo.txt";
  if (!fs::exists(peers) || !fs::exists(text)) GTEST_SKIP() << "no ../shared/peers here";
  const std::string probe =
      peers.string() + " python3 -c 'import torch, transformers, sentencepiece' >/dev/null 2>&1";
  if (std::system(probe.c_str()) != 0) GTEST_SKIP() << "the peers' tools are not installed";
  testing::ScratchFolder folder;
  const std::string command = std::string("TYPES=f16 ") + TESSERA_SOURCE + "/tools/compare_convert.sh " +
                              TESSERA_PROGRAM + " " + peers.string() + " " + text.string() + " " +
                              (folder / "out").string();
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace tessera::pipeline
