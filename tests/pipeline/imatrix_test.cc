// What decides a result, where it is written, and the merging of files with Fisher diagonals.
#include "pipeline/imatrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "base/message_recorder.h"
#include "foundation/base/error.h"
#include "foundation/formats/imatrix/fisher_reader.h"
#include "foundation/formats/imatrix/imatrix_writer.h"
#include "foundation/kernels/gemm.h"
#include "foundation/tensor/float16.h"
#include "pipeline/importance_files.h"
#include "pipeline/quantize.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;
using tessera::testing::importance_for;
using tessera::testing::MessageRecorder;
using tessera::testing::read_whole;
using tessera::testing::ScratchFolder;
using tessera::testing::write_model;
using tessera::testing::write_whole;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ImatrixIdentity : public ::testing::Test {
 protected:
  ImatrixIdentity() {
    fs::create_directory(folder_ / "model");
    write_whole(folder_ / "model" / "config.json", "{}");
    write_whole(folder_ / "model" / "model.safetensors", "weights");
    write_whole(folder_ / "text.txt", "words");
    settings_.model = folder_ / "model";
    settings_.output = folder_ / "im.gguf";
    settings_.corpus.files = {{.path = folder_ / "text.txt"}};
    settings_.precision = kernels::Precision::f32;
  }

  CheckpointIdentity identity() { return identity_of(settings_); }
  CheckpointIdentity identity_of(const ImatrixSettings& settings) {
    FileHashes hashes({}, messages_, stop_);
    return pipeline::identity_of(settings, hashes);
  }

  ScratchFolder folder_;
  ImatrixSettings settings_;
  MessageRecorder messages_;
  StopFlag stop_;
};

TEST_F(ImatrixIdentity, IsThatOfContentAndNotOfPlaceThreadsOrMemory) {
  const auto before = identity();
  fs::rename(folder_ / "model", folder_ / "moved");
  write_whole(folder_ / "moved" / "product.gguf", "made from it");
  write_whole(folder_ / "moved" / "pytorch_model.bin", "the same weights again");
  fs::create_directory(folder_ / "moved" / ".git");
  settings_.model = folder_ / "moved";
  settings_.output = folder_ / "elsewhere.gguf";
  settings_.threads = 7;
  settings_.memory_bytes = 1;
  settings_.checkpoint = folder_ / "checkpoint";
  settings_.use_cache = false;
  EXPECT_EQ(identity(), before);
  EXPECT_EQ(result_key(identity()), result_key(before));
}

TEST_F(ImatrixIdentity, AGgufModelMayBeRenamed) {
  write_whole(folder_ / "a.gguf", "GGUF weights");
  settings_.model = folder_ / "a.gguf";
  const auto before = identity();
  fs::rename(folder_ / "a.gguf", folder_ / "b.gguf");
  settings_.model = folder_ / "b.gguf";
  EXPECT_EQ(identity(), before);
}

TEST_F(ImatrixIdentity, ChangedFilesChangeTheirPartAndTheKey) {
  const auto before = identity();
  write_whole(folder_ / "text.txt", "other words");
  const auto other_data = identity();
  EXPECT_EQ(other_data.model, before.model);
  EXPECT_NE(other_data.data, before.data);
  EXPECT_NE(result_key(other_data), result_key(before));
  fs::rename(folder_ / "model" / "config.json", folder_ / "model" / "other.json");
  EXPECT_NE(identity().model, before.model);
}

TEST_F(ImatrixIdentity, EveryOptionThatMattersChangesTheOptions) {
  std::vector<std::function<void(ImatrixSettings&)>> changes = {
      [](auto& s) { s.method = ImportanceMethod::fisher; },
      [](auto& s) { s.process_output = true; },
      [](auto& s) { s.per_weight_fisher = true; },
      [](auto& s) { s.open.pre_tokenizer = "llama-bpe"; },
      [](auto& s) { s.corpus.context = 64; },
      [](auto& s) { s.corpus.samples = 1; },
      [](auto& s) { s.corpus.sampling = model::WindowSampling::random; },
      [](auto& s) { s.corpus.seed = 5; },
      [](auto& s) { s.corpus.parse_special = true; },
      [](auto& s) { s.corpus.field = "body"; },
      [](auto& s) { s.corpus.files.front().weight = 2; },
  };
  if (kernels::available_precisions().size() > 1) {
    changes.emplace_back([](auto& s) { s.precision = kernels::Precision::bf16; });
  }
  std::set<std::string> options = {identity().options};
  for (const auto& change : changes) {
    auto changed = settings_;
    change(changed);
    options.insert(identity_of(changed).options);
  }
  EXPECT_EQ(options.size(), changes.size() + 1);
}

TEST_F(ImatrixIdentity, MissingDataAreABadFile) {
  settings_.corpus.files.push_back({.path = folder_ / "absent.txt"});
  EXPECT_THROW(identity(), BadFileError);
}

TEST(WriteImportance, TheEndingChoosesTheFormAndLossesAreSaid) {
  const ScratchFolder folder;
  MessageRecorder messages;
  auto matrix = importance_for({.layers = 1});
  write_importance(folder / "plain.dat", matrix, {}, messages);
  EXPECT_THAT(messages.notes, IsEmpty());
  matrix.entries.begin()->second.sensitivity = 1.0f;
  write_importance(folder / "im.dat", matrix, {}, messages);
  EXPECT_THAT(messages.notes, ElementsAre(HasSubstr("im.dat")));
  write_importance(folder / "im.imatrix", matrix, {}, messages);
  EXPECT_EQ(read_whole(folder / "im.imatrix").substr(0, 4), "GGUF");
  EXPECT_EQ(read_whole(folder / "im.dat"), read_whole(folder / "plain.dat"));
  EXPECT_EQ(messages.notes.size(), 1u);
}

TEST(WriteImportance, AnInputIsNeverWrittenOver) {
  const ScratchFolder folder;
  MessageRecorder messages;
  write_whole(folder / "text.txt", "words");
  const std::vector<fs::path> inputs = {folder / "text.txt"};
  EXPECT_THROW(write_importance(folder / "text.txt", importance_for({}), inputs, messages), UsageError);
  EXPECT_EQ(read_whole(folder / "text.txt"), "words");
}

TEST(ImportanceOfOtherMethods, WeightsColumnsInQuantizationAsActivationsDo) {
  const ScratchFolder folder;
  write_model(folder / "model.gguf");
  auto matrix = importance_for({});
  std::vector<std::string> outputs;
  for (const auto method : imatrix::kAllImportanceMethods) {
    matrix.method = method;
    imatrix::write_imatrix_gguf(folder / "im.gguf", matrix);
    MessageRecorder messages;
    const StopFlag stop;
    QuantizeSettings settings{
        .model = folder / "model.gguf", .output = folder / "out.gguf", .type = "Q2_K_S"};
    settings.imatrix = folder / "im.gguf";
    quantize(settings, messages, stop);
    outputs.push_back(read_whole(folder / "out.gguf"));
  }
  EXPECT_EQ(outputs[1], outputs[0]);
  EXPECT_EQ(outputs[2], outputs[0]);
}

class MergeFiles : public ::testing::Test {
 protected:
  /// One tensor "x" of two experts, [2, 2, 1] weights each, whose Fisher diagonal is `fisher` throughout.
  fs::path write(const std::string& name, std::vector<std::uint64_t> counts, float fisher) const {
    imatrix::ImatrixFile matrix{.datasets = {name}, .chunk_count = 1, .chunk_size = 8, .entries = {}};
    matrix.method = ImportanceMethod::fisher;
    matrix.entries["x"] = {1, {1, 1}, std::move(counts)};
    matrix.fisher["x"] = {"x.fisher", ElementType::BF16, {2, 2, 1}};
    imatrix::ImatrixWriter writer(folder_ / name, matrix);
    writer.write_statistics(matrix.entries);
    const std::vector<std::uint16_t> rows(4, bfloat16_from_float(fisher));
    writer.write_fisher_rows("x", 0, std::as_bytes(std::span(rows)));
    writer.commit();
    return folder_ / name;
  }

  imatrix::ImatrixFile merge(const std::vector<fs::path>& inputs, const fs::path& output) {
    return merge_importance_files(inputs, output, messages_, stop_);
  }

  ScratchFolder folder_;
  MessageRecorder messages_;
  StopFlag stop_;
};

TEST_F(MergeFiles, FisherDiagonalsAreMeansOverTheTokensOfEachExpert) {
  const auto first = write("first", {1, 0}, 2), second = write("second", {3, 0}, 4);
  const auto merged = merge({first, second}, folder_ / "merged");
  EXPECT_EQ(imatrix::read_imatrix(folder_ / "merged").entries, merged.entries);
  const imatrix::FisherReader reader(folder_ / "merged");
  EXPECT_EQ(reader.rows("x", {0, 4}), (std::vector<float>{3.5f, 3.5f, 0, 0}));
}

TEST_F(MergeFiles, TheOldFormLeavesFisherDiagonalsOutAndSaysSo) {
  const auto first = write("first", {1, 1}, 2);
  merge({first, first}, folder_ / "merged.dat");
  EXPECT_THAT(messages_.notes, ElementsAre(HasSubstr("Fisher"), HasSubstr("method")));
  EXPECT_EQ(imatrix::read_imatrix(folder_ / "merged.dat").entries.at("x").columns, 2u);
}

TEST_F(MergeFiles, AnInputAsOutputASingleInputAndAStopAreRefusedAndLeaveNothing) {
  const auto first = write("first", {1, 1}, 2), second = write("second", {1, 1}, 2);
  const auto before = folder_.names();
  EXPECT_THROW(merge({first, second}, second), UsageError);
  EXPECT_THROW(merge({first}, folder_ / "merged"), UsageError);
  stop_.request();
  EXPECT_THROW(merge({first, second}, folder_ / "merged"), InterruptedError);
  EXPECT_EQ(folder_.names(), before);
}

TEST_F(MergeFiles, OldFormsAreMergedByTheirCalls) {
  const auto matrix = importance_for({.layers = 1});
  imatrix::write_imatrix_legacy(folder_ / "a.dat", matrix);
  const auto merged = merge({folder_ / "a.dat", folder_ / "a.dat"}, folder_ / "merged.dat");
  const auto first = imatrix::read_imatrix(folder_ / "a.dat");
  const auto& [name, entry] = *first.entries.begin();
  EXPECT_EQ(merged.entries.at(name).importance(0), entry.importance(0));
  const auto read = imatrix::read_imatrix(folder_ / "merged.dat");
  EXPECT_EQ(read.entries.at(name).importance(0), entry.importance(0));
}

}  // namespace
}  // namespace tessera::pipeline
