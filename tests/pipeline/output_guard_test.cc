// An output never overwrites an input, and a product beside a model is not mistaken for a part of it.

#include "pipeline/output_guard.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "foundation/base/error.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

class OutputGuard : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path make(const std::string& name) const {
    std::ofstream(folder_ / name) << name;
    return folder_ / name;
  }

  fs::path folder_;
};

TEST_F(OutputGuard, EarlierProductsInsideAModelFolderMayBeReplaced) {
  const auto config = make("config.json");
  const auto weights = make("model.safetensors");
  const auto product = make("model-Q4_K_M.gguf");
  make("model-Q2_K.gguf.partial");
  const auto inputs = files_of_model(folder_);
  EXPECT_EQ(inputs, (std::vector<fs::path>{config, weights}));
  EXPECT_NO_THROW(refuse_writing_over_inputs({product}, inputs));
}

TEST_F(OutputGuard, AnInputUnderAnotherNameIsRefused) {
  const auto weights = make("model.safetensors");
  fs::create_symlink(weights, folder_ / "innocent.out");
  EXPECT_THROW(refuse_writing_over_inputs({folder_ / "innocent.out"}, files_of_model(folder_)), UsageError);
}

TEST_F(OutputGuard, FoldersInAModelFolderAreNotRead) {
  const auto config = make("config.json");
  fs::create_directories(folder_ / ".cache/huggingface");
  EXPECT_EQ(files_of_model(folder_), std::vector<fs::path>{config});
}

TEST_F(OutputGuard, InputsThatAreNoFilesAreRefused) {
  const auto text = make("text.txt");
  EXPECT_NO_THROW(require_files({text}));
  EXPECT_THROW(require_files({text, folder_ / "absent.txt"}), BadFileError);
  EXPECT_THROW(require_files({folder_}), BadFileError);
}

TEST_F(OutputGuard, OutputsNeedAFolderToBeIn) {
  EXPECT_NO_THROW(require_writable_folder(folder_ / "out.gguf"));
  EXPECT_NO_THROW(require_writable_folder("out.gguf"));
  EXPECT_THROW(require_writable_folder(folder_ / "absent/out.gguf"), UsageError);
  EXPECT_THROW(require_writable_folder(make("file") / "out.gguf"), UsageError);
}

}  // namespace
}  // namespace tessera::pipeline
