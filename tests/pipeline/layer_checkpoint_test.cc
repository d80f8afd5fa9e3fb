#include "pipeline/layer_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <set>

#include "foundation/base/error.h"
#include "pipeline/killed_process.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::ChildEnd;
using tessera::testing::read_whole;
using tessera::testing::ScratchFolder;
using tessera::testing::write_whole;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const CheckpointIdentity kIdentity{"model-hash", "data-hash", "ctx=512"};
constexpr const char* kManifest = "tessera-checkpoint.json";

void write_blob(LayerCheckpoint& checkpoint, const std::string& name, const std::string& text) {
  auto writer = checkpoint.write(name);
  const auto bytes = std::as_bytes(std::span(text));
  writer.append(bytes.first(bytes.size() / 2));  // in pieces
  writer.append(bytes.subspan(bytes.size() / 2));
  writer.finish();
}

std::string read_blob(const LayerCheckpoint& checkpoint, const std::string& name) {
  const auto bytes = checkpoint.read(name);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void commit(LayerCheckpoint& checkpoint, std::uint32_t layers, const std::vector<std::string>& kept) {
  checkpoint.commit(layers, kept);
}

template <class Expected>
std::string refusal(const std::filesystem::path& folder, const CheckpointIdentity& identity = kIdentity) {
  try {
    const LayerCheckpoint checkpoint(folder, identity);
  } catch (const Expected& error) {
    return error.what();
  }
  return "accepted";
}

class LayerCheckpointTest : public ::testing::Test {
 protected:
  /// A checkpoint after layer 1: "states" of that layer, "statistics".
  void make_checkpoint() const {
    LayerCheckpoint checkpoint(path_, kIdentity);
    write_blob(checkpoint, "states", "states of layer 0");
    write_blob(checkpoint, "statistics", "both");
    commit(checkpoint, 1, {"states", "statistics"});
  }

  ScratchFolder folder_;
  std::filesystem::path path_ = folder_ / "checkpoint";
};

TEST_F(LayerCheckpointTest, ANewFolderIsMadeAndNothingIsFinished) {
  const LayerCheckpoint checkpoint(path_ / "deeper", kIdentity);
  EXPECT_EQ(checkpoint.finished_layers(), std::nullopt);
  EXPECT_FALSE(checkpoint.contains("states"));
}

TEST_F(LayerCheckpointTest, WhatWasCommittedIsThereAgain) {
  make_checkpoint();
  const LayerCheckpoint checkpoint(path_, kIdentity);
  EXPECT_EQ(checkpoint.finished_layers(), 1u);
  EXPECT_EQ(read_blob(checkpoint, "states"), "states of layer 0");
  EXPECT_EQ(checkpoint.open("statistics").bytes().size(), 4u);
}

TEST_F(LayerCheckpointTest, ABlobIsReadableWhileItsSuccessorIsWrittenAndGoneAfterTheCommit) {
  make_checkpoint();
  LayerCheckpoint checkpoint(path_, kIdentity);
  const MappedFile before = checkpoint.open("states");
  write_blob(checkpoint, "states", "states of layer 1");
  EXPECT_EQ(read_blob(checkpoint, "states"), "states of layer 0");
  commit(checkpoint, 2, {"states", "statistics"});
  EXPECT_EQ(read_blob(checkpoint, "states"), "states of layer 1");
  EXPECT_EQ(read_blob(checkpoint, "statistics"), "both");
  EXPECT_EQ(before.bytes().size(), 17u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 3);
}

TEST_F(LayerCheckpointTest, WhatIsNotCommittedIsGoneWithTheNextRunAndOtherFilesStay) {
  make_checkpoint();
  write_whole(path_ / "notes.txt", "mine");
  {
    LayerCheckpoint checkpoint(path_, kIdentity);
    write_blob(checkpoint, "states", "never committed");
    auto unfinished = checkpoint.write("statistics");
    unfinished.append(std::as_bytes(std::span("half")));
  }
  write_whole(path_ / "left.7.tessera-blob.partial", "by a killed run");
  const LayerCheckpoint checkpoint(path_, kIdentity);
  EXPECT_EQ(read_blob(checkpoint, "states"), "states of layer 0");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 4);
  EXPECT_EQ(read_whole(path_ / "notes.txt"), "mine");
}

TEST_F(LayerCheckpointTest, BlobsThatAreNotKeptAreRemovedAndEmptyOnesAreFine) {
  make_checkpoint();
  LayerCheckpoint checkpoint(path_, kIdentity);
  write_blob(checkpoint, "empty", "");
  commit(checkpoint, 2, {"empty"});
  EXPECT_FALSE(checkpoint.contains("states"));
  EXPECT_EQ(read_blob(checkpoint, "empty"), "");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 2);
}

TEST_F(LayerCheckpointTest, ClearLeavesTheFolderEmptyAndTheNextRunStartsAnew) {
  make_checkpoint();
  LayerCheckpoint(path_, kIdentity).clear();
  EXPECT_TRUE(std::filesystem::is_empty(path_));
  EXPECT_EQ(LayerCheckpoint(path_, {"other", "other", "other"}).finished_layers(), std::nullopt);
}

TEST_F(LayerCheckpointTest, AnotherModelDataOrOptionsAreRefusedByName) {
  make_checkpoint();
  EXPECT_THAT(refusal<UsageError>(path_, {"x", "data-hash", "ctx=512"}), HasSubstr("another model;"));
  EXPECT_THAT(refusal<UsageError>(path_, {"model-hash", "x", "ctx=512"}), HasSubstr("another data;"));
  EXPECT_THAT(refusal<UsageError>(path_, {"model-hash", "data-hash", "ctx=64"}),
              HasSubstr("another options ('ctx=512' instead of 'ctx=64');"));
  EXPECT_EQ(refusal<UsageError>(path_), "accepted");
}

TEST_F(LayerCheckpointTest, AnotherVersionIsRefusedByName) {
  make_checkpoint();
  std::string text = read_whole(path_ / kManifest);
  text.replace(text.find(TESSERA_VERSION), std::string(TESSERA_VERSION).size(), "0.0.1");
  write_whole(path_ / kManifest, text);
  EXPECT_THAT(refusal<UsageError>(path_), HasSubstr("version of Tessera (0.0.1 instead"));
}

TEST_F(LayerCheckpointTest, OptionsThatAreNoTextAreTheSameTheSecondTime) {
  const CheckpointIdentity odd{"m", "d", "file=\xFF\xFE\n.txt"};
  { const LayerCheckpoint checkpoint(path_, odd); }
  EXPECT_EQ(refusal<UsageError>(path_, odd), "accepted");
}

TEST_F(LayerCheckpointTest, AFolderThatCannotBeWrittenToIsRefusedAtOnce) {
  write_whole(folder_ / "file", "");
  EXPECT_THAT(refusal<UsageError>(folder_ / "file"), HasSubstr("file"));
  EXPECT_THAT(refusal<UsageError>(folder_ / "file" / "below"),
              HasSubstr("cannot make the checkpoint folder"));
  EXPECT_THAT(refusal<UsageError>("/proc/self/checkpoint"), HasSubstr("cannot make the checkpoint folder"));
}

TEST_F(LayerCheckpointTest, AFolderWithoutWritePermissionIsRefusedAtOnce) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  make_checkpoint();
  std::filesystem::permissions(path_,
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  EXPECT_THAT(refusal<UsageError>(path_), HasSubstr("cannot write"));
}

TEST_F(LayerCheckpointTest, ASecondRunInTheSameFolderIsRefused) {
  const LayerCheckpoint checkpoint(path_, kIdentity);
  EXPECT_THAT(refusal<UsageError>(path_), HasSubstr("another run"));
}

TEST_F(LayerCheckpointTest, DamagedManifestsAreBadFiles) {
  make_checkpoint();
  const std::string good = read_whole(path_ / kManifest);
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  const std::vector<std::string> damaged = {
      "",
      "{}",
      "[1, 2]",
      good.substr(0, good.size() / 2),
      good + good,
      changed("\"format\": 1", "\"format\": 2"),
      changed("\"finished_layers\": 1", "\"finished_layers\": -1"),
      changed("\"finished_layers\": 1", "\"finished_layers\": 4294967296"),
      changed("\"finished_layers\": 1", "\"finished_layers\": \"1\""),
      changed("\"bytes\": 4", "\"bytes\": 1e99"),
      changed("\"generation\": 1", "\"generation\": 0.5"),
      changed("\"statistics\"", "\"../statistics\""),
      changed("\"statistics\"", "\"\""),
      changed("\"model\"", "\"modes\""),
  };
  for (const auto& text : damaged) {
    write_whole(path_ / kManifest, text);
    const auto message = refusal<BadFileError>(path_);
    EXPECT_THAT(message, HasSubstr(kManifest)) << text;
  }
  write_whole(path_ / kManifest, good);
  EXPECT_EQ(refusal<BadFileError>(path_), "accepted");
}

TEST_F(LayerCheckpointTest, DamagedOrMissingBlobsAreBadFiles) {
  make_checkpoint();
  const auto blob = path_ / "states.1.tessera-blob";
  const std::string good = read_whole(blob);
  for (const std::string& text : {std::string(), good.substr(1), good + "x", "S" + good.substr(1)}) {
    write_whole(blob, text);
    EXPECT_THROW(LayerCheckpoint(path_, kIdentity).open("states"), BadFileError);
  }
  std::filesystem::remove(blob);
  EXPECT_THROW(LayerCheckpoint(path_, kIdentity).read("states"), BadFileError);
}

/// The walk whose kills are simulated: three layers, each with states and statistics, then the end.
void walk(const std::filesystem::path& folder, const std::filesystem::path& result) {
  LayerCheckpoint checkpoint(folder, kIdentity);
  const std::uint32_t first = checkpoint.finished_layers().value_or(0);
  std::string states = first > 0 ? read_blob(checkpoint, "states") : "start";
  std::string statistics = first > 0 ? read_blob(checkpoint, "statistics") : "";
  for (std::uint32_t layer = first; layer < 3; ++layer) {
    states += " through " + std::to_string(layer);
    statistics += std::to_string(states.size()) + ";";
    write_blob(checkpoint, "states", states);
    write_blob(checkpoint, "statistics", statistics);
    commit(checkpoint, layer + 1, {"states", "statistics"});
  }
  write_file_atomically(result, std::as_bytes(std::span(statistics)));
  checkpoint.clear();
}

/// In memory where that is possible: processes are killed here, not disks, and waiting for those takes long.
std::filesystem::path fast_folder() {
  const std::filesystem::path memory = "/dev/shm";
  return ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
}

TEST(LayerCheckpointKills, AKillAtAnySystemCallLosesNoFinishedLayer) {
  const ScratchFolder folder(fast_folder());
  const auto result = folder / "result";
  walk(folder / "reference", result);
  const std::string expected = read_whole(result);
  ASSERT_EQ(expected, "15;25;35;");
  std::set<std::uint32_t> layers_found;
  for (std::size_t operation = 0;; ++operation) {
    const auto run = folder / ("run" + std::to_string(operation));
    std::filesystem::remove(result);
    const auto end = tessera::testing::run_and_kill_at(operation, [&] { walk(run, result); });
    if (end == ChildEnd::not_traceable) GTEST_SKIP() << "the system does not allow tracing";
    if (end == ChildEnd::completed) break;
    layers_found.insert(LayerCheckpoint(run, kIdentity).finished_layers().value_or(0));
    walk(run, result);
    ASSERT_EQ(read_whole(result), expected) << "killed at system call " << operation;
    ASSERT_TRUE(std::filesystem::is_empty(run)) << "killed at system call " << operation;
  }
  EXPECT_THAT(layers_found, ElementsAre(0, 1, 2, 3));
}

}  // namespace
}  // namespace tessera::pipeline
