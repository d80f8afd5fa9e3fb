#include "pipeline/result_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/message_recorder.h"
#include "foundation/base/error.h"
#include "pipeline/cache_folder.h"
#include "pipeline/file_hashes.h"
#include "pipeline/killed_process.h"
#include "pipeline/small_model.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;
using tessera::testing::ChildEnd;
using tessera::testing::MessageRecorder;
using tessera::testing::read_whole;
using tessera::testing::ScratchFolder;
using tessera::testing::write_whole;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ContentHash kKey{1, 2};
constexpr ContentHash kOtherKey{1, 3};

/// Sets an environment variable to the end of the scope; null: unset.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~ScopedVariable() { set(before_ ? before_->c_str() : nullptr); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  void set(const char* value) const { value ? ::setenv(name_, value, 1) : ::unsetenv(name_); }

  const char* name_;
  std::optional<std::string> before_;
};

class ResultCacheTest : public ::testing::Test {
 protected:
  ResultCacheTest() { write_whole(result_, "the result"); }

  std::string found(ResultCache& cache, const ContentHash& key = kKey) const {
    const auto result = cache.find(key);
    if (!result) return "nothing";
    return {reinterpret_cast<const char*>(result->bytes().data()), result->bytes().size()};
  }

  ScratchFolder folder_;
  MessageRecorder messages_;
  fs::path result_ = folder_ / "result";
  fs::path cache_folder_ = folder_ / "cache";
  fs::path entry_ = cache_folder_ / "results" / (kKey.text() + ".result");
};

TEST_F(ResultCacheTest, WhatWasStoredIsFoundUnderItsKeyOnly) {
  ResultCache cache(cache_folder_, messages_);
  EXPECT_EQ(found(cache), "nothing");
  cache.store(kKey, result_);
  EXPECT_EQ(found(cache), "the result");
  EXPECT_EQ(found(cache, kOtherKey), "nothing");
  write_whole(result_, "");
  cache.store(kKey, result_);
  EXPECT_EQ(found(cache), "");
  EXPECT_THAT(messages_.warnings, IsEmpty());
  EXPECT_THAT(messages_.notes, IsEmpty());
}

TEST_F(ResultCacheTest, ADamagedEntryIsRemovedWithAWarning) {
  ResultCache cache(cache_folder_, messages_);
  cache.store(kKey, result_);
  const std::string good = read_whole(entry_);
  for (const auto& text : {std::string(), good.substr(0, 20), good.substr(0, good.size() - 1), good + "x",
                           "X" + good.substr(1), good.substr(0, good.size() - 1) + "X"}) {
    messages_.warnings.clear();
    write_whole(entry_, text);
    EXPECT_EQ(found(cache), "nothing");
    EXPECT_THAT(messages_.warnings, ElementsAre(HasSubstr("damaged")));
    EXPECT_FALSE(fs::exists(entry_));
  }
}

TEST_F(ResultCacheTest, AFolderThatCannotBeUsedIsANote) {
  write_whole(folder_ / "file", "");
  ResultCache cache(folder_ / "file", messages_);
  EXPECT_EQ(found(cache), "nothing");
  cache.store(kKey, result_);
  EXPECT_THAT(messages_.notes, ElementsAre(HasSubstr("not kept")));
  fs::create_directories(entry_);  // a folder in the place of an entry
  ResultCache blocked(cache_folder_, messages_);
  EXPECT_EQ(found(blocked), "nothing");
  blocked.store(kKey, result_);
  EXPECT_THAT(messages_.notes, ElementsAre(HasSubstr("not kept"), HasSubstr("read"), HasSubstr("not kept")));
  EXPECT_THAT(messages_.warnings, IsEmpty());
}

TEST_F(ResultCacheTest, WithoutAFolderNothingIsFoundOrKept) {
  ResultCache cache(std::nullopt, messages_);
  cache.store(kKey, result_);
  EXPECT_EQ(found(cache), "nothing");
  EXPECT_THAT(messages_.notes, IsEmpty());
}

TEST_F(ResultCacheTest, AResultBeyondTheLimitIsNotKept) {
  fs::resize_file(result_, ResultCache::kMaxResultBytes + 1);  // sparse
  ResultCache cache(cache_folder_, messages_);
  cache.store(kKey, result_);
  EXPECT_THAT(messages_.notes, ElementsAre(HasSubstr("too large")));
  EXPECT_FALSE(fs::exists(entry_));
}

TEST_F(ResultCacheTest, AnEntryInUseStaysReadableWhenItIsRemoved) {
  ResultCache cache(cache_folder_, messages_);
  cache.store(kKey, result_);
  const auto result = cache.find(kKey);
  fs::remove_all(cache_folder_);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->bytes().size(), 10u);
}

TEST_F(ResultCacheTest, AKillAtAnySystemCallLeavesAWholeEntryOrNone) {
  bool kept = false;
  for (std::size_t operation = 0;; ++operation) {
    fs::remove_all(cache_folder_);
    const auto end = tessera::testing::run_and_kill_at(operation, [&] {
      MessageRecorder messages;
      ResultCache(cache_folder_, messages).store(kKey, result_);
    });
    if (end == ChildEnd::not_traceable) GTEST_SKIP() << "the system does not allow tracing";
    ResultCache cache(cache_folder_, messages_);
    const std::string left = found(cache);
    ASSERT_TRUE(left == "nothing" || left == "the result") << operation;
    kept = left == "the result";
    if (end == ChildEnd::completed) break;
  }
  EXPECT_TRUE(kept);
  EXPECT_THAT(messages_.warnings, IsEmpty());
}

TEST_F(ResultCacheTest, TwoWritersOfOneEntryDoNotMix) {
  const auto store_often = [&] {
    MessageRecorder messages;
    ResultCache cache(cache_folder_, messages);
    for (int i = 0; i < 20; ++i) {
      cache.store(kKey, result_);
      EXPECT_EQ(found(cache), "the result");
    }
    EXPECT_THAT(messages.warnings, IsEmpty());
    EXPECT_THAT(messages.notes, IsEmpty());
  };
  std::thread other(store_often);
  store_often();
  other.join();
}

/// Files of `bytes` bytes each, the first one the oldest.
void make_files(const fs::path& folder, const std::vector<std::string>& names, std::uint64_t bytes) {
  fs::create_directories(folder);
  auto time = fs::file_time_type::clock::now() - std::chrono::hours(10);
  for (const auto& name : names) {
    write_whole(folder / name, std::string(bytes, 'x'));
    fs::last_write_time(folder / name, time += std::chrono::minutes(1));
  }
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST_F(ResultCacheTest, TrimmingRemovesTheOldestFirst) {
  make_files(cache_folder_, {"a", "b", "c", "d"}, 100);
  trim_cache_folder(cache_folder_, 399, 100);
  EXPECT_THAT(names_in(cache_folder_), ElementsAre("b", "c", "d"));
  trim_cache_folder(cache_folder_, 1000, 2);
  EXPECT_THAT(names_in(cache_folder_), ElementsAre("c", "d"));
  trim_cache_folder(cache_folder_ / "absent", 0, 0);
}

TEST_F(ResultCacheTest, WhatAnotherProcessIsWritingIsNotTrimmedUntilItIsOld) {
  make_files(cache_folder_, {"a", "old.unfinished-1.partial"}, 100);
  write_whole(cache_folder_ / "new.unfinished-2.partial", "x");
  trim_cache_folder(cache_folder_, 100, 100);
  EXPECT_THAT(names_in(cache_folder_), ElementsAre("a", "new.unfinished-2.partial"));
}

TEST_F(ResultCacheTest, AHitMakesAnEntryTheLastToGo) {
  ResultCache cache(cache_folder_, messages_);
  cache.store(kKey, result_);
  cache.store(kOtherKey, result_);
  fs::last_write_time(entry_, fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(found(cache), "the result");
  EXPECT_GT(fs::last_write_time(entry_), fs::file_time_type::clock::now() - std::chrono::minutes(1));
}

TEST(CacheFolder, FollowsTheXdgSpecification) {
  const ScopedVariable home("HOME", "/home/someone");
  {
    const ScopedVariable cache("XDG_CACHE_HOME", "/var/cache/someone");
    EXPECT_EQ(default_cache_folder(), "/var/cache/someone/tessera");
  }
  for (const char* ignored : {static_cast<const char*>(nullptr), "", "relative/path"}) {
    const ScopedVariable cache("XDG_CACHE_HOME", ignored);
    EXPECT_EQ(default_cache_folder(), "/home/someone/.cache/tessera");
  }
  const ScopedVariable cache("XDG_CACHE_HOME", nullptr);
  const ScopedVariable homeless("HOME", nullptr);
  EXPECT_EQ(default_cache_folder(), std::nullopt);
}

class FileHashesTest : public ::testing::Test {
 protected:
  /// Long enough unchanged to be remembered.
  fs::path make_large_file() const {
    const auto path = folder_ / "model";
    write_whole(path, "content");
    fs::resize_file(path, FileHashes::kLeastBytes);
    std::this_thread::sleep_for(2 * FileHashes::kSettlingTime);
    return path;
  }

  ContentHash hash(const fs::path& file) {
    FileHashes hashes({cache_folder_, 1}, messages_, stop_);
    return hashes.of(std::vector{file}, "hash model").front();
  }

  fs::path only_memo() const {
    const auto names = names_in(cache_folder_ / "hashes");
    EXPECT_EQ(names.size(), 1u);
    return cache_folder_ / "hashes" / names.at(0);
  }

  ScratchFolder folder_;
  fs::path cache_folder_ = folder_ / "cache";
  MessageRecorder messages_;
  StopFlag stop_;
};

TEST_F(FileHashesTest, AnUnchangedFileIsNotReadAgain) {
  const auto file = make_large_file();
  const auto first = hash(file);
  EXPECT_EQ(first, hash_file(file, 1, [](std::uint64_t) {}));
  EXPECT_THAT(messages_.stages, ElementsAre("hash model"));
  EXPECT_EQ(messages_.total, FileHashes::kLeastBytes);
  EXPECT_EQ(hash(file), first);
  EXPECT_THAT(messages_.stages, ElementsAre("hash model"));  // nothing more to do
}

TEST_F(FileHashesTest, AChangedFileIsReadAgain) {
  const auto file = make_large_file();
  const auto first = hash(file);
  write_whole(file, "another");
  fs::resize_file(file, FileHashes::kLeastBytes);
  EXPECT_NE(hash(file), first);
}

TEST_F(FileHashesTest, AFileOfTheSameSizeAndTimeInItsPlaceIsReadAgain) {
  const auto file = make_large_file();
  const auto first = hash(file);
  const auto time = fs::last_write_time(file);
  write_whole(folder_ / "other", "another");
  fs::resize_file(folder_ / "other", FileHashes::kLeastBytes);
  fs::last_write_time(folder_ / "other", time);
  fs::rename(folder_ / "other", file);
  EXPECT_NE(hash(file), first);
}

TEST_F(FileHashesTest, ADamagedMemoIsIgnoredWithAWarning) {
  const auto file = make_large_file();
  const auto first = hash(file);
  for (const char* text : {"", "{", "[]", "{\"hash_high\": \"x\", \"hash_low\": 1}"}) {
    messages_.warnings.clear();
    write_whole(only_memo(), text);
    EXPECT_EQ(hash(file), first);
    EXPECT_THAT(messages_.warnings, ElementsAre(HasSubstr("damaged"))) << text;
  }
}

TEST_F(FileHashesTest, AnUnusableCacheFolderIsANote) {
  const auto file = make_large_file();
  write_whole(cache_folder_, "a file");
  EXPECT_EQ(hash(file), hash_file(file, 1, [](std::uint64_t) {}));
  EXPECT_THAT(messages_.notes, ElementsAre(HasSubstr("not kept")));
}

TEST_F(FileHashesTest, SmallFilesAreNotRemembered) {
  write_whole(folder_ / "small", "text");
  std::this_thread::sleep_for(2 * FileHashes::kSettlingTime);
  hash(folder_ / "small");
  EXPECT_FALSE(fs::exists(cache_folder_));
}

TEST_F(FileHashesTest, AMissingFileIsABadFileAndAStopEndsTheWork) {
  EXPECT_THROW(hash(folder_ / "absent"), BadFileError);
  const auto file = make_large_file();
  stop_.request();
  EXPECT_THROW(hash(file), InterruptedError);
  EXPECT_FALSE(fs::exists(cache_folder_));
}

}  // namespace
}  // namespace tessera::pipeline
