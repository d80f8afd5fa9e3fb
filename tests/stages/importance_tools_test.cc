// Summaries, comparisons and merges of importance matrices, against figures worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/message_recorder.h"
#include "foundation/base/error.h"
#include "stages/compare_importance.h"
#include "stages/merge_importance.h"
#include "stages/summarize_importance.h"

namespace tessera::stages {
namespace {

using imatrix::Entry;
using imatrix::ImatrixFile;
using imatrix::ImportanceMethod;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ImatrixFile file_of(std::map<std::string, Entry> entries) {
  return {.datasets = {"text.txt"}, .chunk_count = 2, .chunk_size = 8, .entries = std::move(entries)};
}

TEST(SummarizeImportance, SharesEntropyTopAndDeadColumnsOfDenseTensors) {
  auto matrix = file_of({{"even", {4, {2, 2, 2, 2}, {2}}}, {"one", {4, {0, 0, 24, 0}, {2}}}});
  matrix.entries["one"].maxima = {0, 0, 7, 1};
  matrix.entries["one"].sensitivity = 0.5f;
  matrix.fisher["one"] = {"one.fisher", ElementType::BF16, {3, 4}};
  const auto summary = summarize_importance(matrix, 2);
  ASSERT_EQ(summary.tensors.size(), 2u);
  const auto& even = summary.tensors[0];
  EXPECT_DOUBLE_EQ(even.total, 4);
  EXPECT_DOUBLE_EQ(even.share, 0.25);
  EXPECT_DOUBLE_EQ(even.entropy.value(), 1);
  EXPECT_THAT(even.top, ElementsAre(ColumnValue{0, 0, 1}, ColumnValue{0, 1, 1}));
  EXPECT_EQ(even.dead_columns, 0u);
  EXPECT_FALSE(even.maximum || even.sensitivity || even.fisher);
  const auto& one = summary.tensors[1];
  EXPECT_DOUBLE_EQ(one.share, 0.75);
  EXPECT_DOUBLE_EQ(one.entropy.value(), 0);
  EXPECT_EQ(one.top.front(), (ColumnValue{0, 2, 12}));
  EXPECT_EQ(one.dead_columns, 3u);
  EXPECT_EQ(one.maximum, (ColumnValue{0, 2, 7}));
  EXPECT_EQ(one.sensitivity, 0.5);
  EXPECT_EQ(one.fisher, ElementType::BF16);
}

TEST(SummarizeImportance, ExpertsNeverSeenAreNamedAndLeftOut) {
  const auto summary = summarize_importance(file_of({{"x", {2, {3, 0, 0, 0, 5, 10}, {3, 0, 5}}}}), 9);
  const auto& tensor = summary.tensors.front();
  EXPECT_THAT(tensor.unseen_experts, ElementsAre(1u));
  EXPECT_EQ(tensor.dead_columns, 1u);
  EXPECT_EQ(tensor.least_count, 0u);
  EXPECT_EQ(tensor.most_count, 5u);
  EXPECT_THAT(tensor.top, ElementsAre(ColumnValue{2, 1, 2}, ColumnValue{0, 0, 1}, ColumnValue{2, 0, 1},
                                      ColumnValue{0, 1, 0}));
}

TEST(SummarizeImportance, NothingAtAllHasNoEntropyAndNoShare) {
  const auto summary =
      summarize_importance(file_of({{"unseen", {2, {0, 0}, {0}}}, {"zero", {2, {0, 0}, {4}}}}), 3);
  for (const auto& tensor : summary.tensors) {
    EXPECT_EQ(tensor.share, 0);
    EXPECT_EQ(tensor.entropy, std::nullopt);
  }
  EXPECT_THAT(summary.tensors[0].top, IsEmpty());
  EXPECT_EQ(summary.tensors[1].dead_columns, 2u);
  EXPECT_TRUE(to_json(summary).at("tensors").at(0).at("entropy").is_null());
}

TEST(CompareImportance, AFactorChangesNothing) {
  const auto comparison =
      compare_importance(file_of({{"w", {3, {1, 5, 2}, {1}}}}), file_of({{"w", {3, {8, 40, 16}, {4}}}}), "b");
  EXPECT_NEAR(comparison.tensors.front().cosine.value(), 1, 1e-15);
  EXPECT_NEAR(comparison.tensors.front().rank_correlation.value(), 1, 1e-15);
  EXPECT_EQ(comparison.tensors.front().compared_columns, 3u);
}

TEST(CompareImportance, RanksOfTiesAreTheirMean) {
  // Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: Pearson 4.5 / sqrt(4.5 * 5).
  const auto comparison = compare_importance(file_of({{"w", {4, {1, 2, 2, 3}, {1}}}}),
                                             file_of({{"w", {4, {1, 3, 2, 9}, {1}}}}), "b");
  EXPECT_NEAR(comparison.tensors.front().rank_correlation.value(), 4.5 / std::sqrt(4.5 * 5), 1e-15);
  EXPECT_NEAR(comparison.tensors.front().cosine.value(), 38 / std::sqrt(18.0 * 95), 1e-15);
}

TEST(CompareImportance, OppositeOrdersAndDisjointColumns) {
  const auto comparison =
      compare_importance(file_of({{"w", {2, {1, 0}, {1}}}}), file_of({{"w", {2, {0, 1}, {1}}}}), "b");
  EXPECT_EQ(comparison.tensors.front().cosine, 0.0);
  EXPECT_NEAR(comparison.tensors.front().rank_correlation.value(), -1, 1e-15);
}

TEST(CompareImportance, WhatIsNotDefinedIsEmptyAndLeftOutOfTheRange) {
  const auto comparison = compare_importance(
      file_of({{"flat", {2, {1, 1}, {1}}}, {"w", {2, {1, 2}, {1}}}, {"zero", {2, {0, 0}, {1}}}}),
      file_of({{"flat", {2, {1, 2}, {1}}}, {"w", {2, {2, 1}, {1}}}, {"zero", {2, {1, 2}, {1}}}}), "b");
  EXPECT_FALSE(comparison.tensors[0].rank_correlation);
  EXPECT_FALSE(comparison.tensors[2].cosine);
  const auto range = comparison.cosine_range();
  ASSERT_TRUE(range);
  EXPECT_EQ(range->worst_tensor, "w");
  EXPECT_DOUBLE_EQ(range->worst, 0.8);
  EXPECT_NEAR(range->mean, (0.8 + 3 / std::sqrt(10.0)) / 2, 1e-15);
  EXPECT_NEAR(comparison.rank_correlation_range()->worst, -1, 1e-15);
}

TEST(CompareImportance, OnlyExpertsThatBothHaveSeenCount) {
  const auto comparison = compare_importance(file_of({{"x", {2, {1, 2, 9, 9, 3, 4}, {1, 0, 1}}}}),
                                             file_of({{"x", {2, {1, 2, 5, 1, 7, 7}, {1, 1, 0}}}}), "b");
  EXPECT_EQ(comparison.tensors.front().compared_columns, 2u);
  EXPECT_NEAR(comparison.tensors.front().cosine.value(), 1, 1e-15);
}

TEST(CompareImportance, TheOldFormsLongRowIsCutUpForExpertsOnEitherSide) {
  const auto experts = file_of({{"x", {2, {1, 2, 3, 4}, {1, 1}}}});
  const auto row = file_of({{"x", {4, {1, 2, 3, 4}, {1}}}});
  for (const auto& comparison :
       {compare_importance(experts, row, "b"), compare_importance(row, experts, "b")})
    EXPECT_EQ(comparison.tensors.front().compared_columns, 4u);
}

TEST(CompareImportance, TensorsOfOneFileAreListedAndOtherSizesRefused) {
  const auto comparison = compare_importance(file_of({{"a", {1, {1}, {1}}}, {"b", {1, {1}, {1}}}}),
                                             file_of({{"b", {1, {1}, {1}}}, {"c", {1, {1}, {1}}}}), "f");
  EXPECT_THAT(comparison.only_in_first, ElementsAre("a"));
  EXPECT_THAT(comparison.only_in_second, ElementsAre("c"));
  try {
    compare_importance(file_of({{"a", {2, {1, 1}, {1}}}}), file_of({{"a", {3, {1, 1, 1}, {1}}}}), "f");
    ADD_FAILURE() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("f"));
    EXPECT_THAT(error.what(), HasSubstr("'a'"));
    EXPECT_THAT(error.what(), HasSubstr("1 x 3"));
  }
}

class MergeImportance : public ::testing::Test {
 protected:
  ImatrixFile merge(std::vector<ImatrixFile> files) {
    std::vector<ImportanceInput> inputs;
    for (auto& file : files) inputs.push_back({"file" + std::to_string(inputs.size()), std::move(file)});
    return merge_importance(inputs, warnings_);
  }

  /// The message with which the files are refused.
  template <class Expected>
  std::string refusal(std::vector<ImatrixFile> files) {
    try {
      merge(std::move(files));
    } catch (const Expected& error) {
      return error.what();
    }
    return "accepted";
  }

  tessera::testing::MessageRecorder warnings_;
};

TEST_F(MergeImportance, AddsSumsAndCountsTakesMaximaAndJoinsDataSets) {
  auto first = file_of({{"w", {2, {1, 2}, {4}, {3, 1}, {-1, 1}, 1.0f}}});
  auto second = file_of({{"w", {2, {10, 20}, {12}, {2, 5}, {-2, 3}, 2.0f}}});
  second.datasets = {"text.txt", "more.txt"};
  first.provenance = {"0.1", "model", "data", "options"};
  second.provenance = {"0.1", "model", "others", "options"};
  const auto merged = merge({first, second});
  EXPECT_EQ(merged.entries.at("w"), (Entry{2, {11, 22}, {16}, {3, 5}, {-3, 4}, 1.75f}));
  EXPECT_THAT(merged.datasets, ElementsAre("text.txt", "more.txt"));
  EXPECT_EQ(merged.chunk_count, 4u);
  EXPECT_EQ(merged.chunk_size, 8u);
  EXPECT_EQ(merged.provenance, (imatrix::Provenance{"0.1", "model", "", "options"}));
  EXPECT_THAT(warnings_.warnings, IsEmpty());
}

TEST_F(MergeImportance, ExpertsAreMergedEachByItself) {
  const auto merged = merge({file_of({{"x", {1, {1, 0}, {2, 0}}}}), file_of({{"x", {1, {5, 7}, {1, 3}}}}),
                             file_of({{"x", {1, {1, 0}, {1, 0}}}})});
  EXPECT_EQ(merged.entries.at("x"), (Entry{1, {7, 7}, {4, 3}}));
}

TEST_F(MergeImportance, TheNumberOfChunksIsThatOfAllTokens) {
  auto second = file_of({{"w", {1, {1}, {1}}}});
  second.chunk_size = 3;
  second.chunk_count = 5;
  EXPECT_EQ(merge({file_of({{"w", {1, {1}, {1}}}}), second}).chunk_count, 4u);  // 31 tokens in chunks of 8
}

TEST_F(MergeImportance, StatisticsThatSomeFilesLackAreLeftOutWithAWarning) {
  auto first = file_of({{"w", {1, {1}, {1}, {1}, {}, 1.0f}}});
  first.fisher["w"] = {"w.fisher", ElementType::F32, {2, 1}};
  const auto merged = merge({first, file_of({{"w", {1, {1}, {1}}}})});
  EXPECT_EQ(merged.entries.at("w"), (Entry{1, {2}, {2}}));
  EXPECT_THAT(merged.fisher, IsEmpty());
  EXPECT_THAT(warnings_.warnings,
              ElementsAre(HasSubstr("Fisher"), HasSubstr("maxima"), HasSubstr("sensitivities")));
}

TEST_F(MergeImportance, ATensorOfSomeFilesIsTakenFromThoseWithAWarning) {
  const auto merged =
      merge({file_of({{"w", {1, {1}, {1}}}}), file_of({{"v", {1, {3}, {1}, {2}}}, {"w", {1, {1}, {1}}}})});
  EXPECT_EQ(merged.entries.at("v"), (Entry{1, {3}, {1}, {2}}));
  EXPECT_THAT(warnings_.warnings, ElementsAre(HasSubstr("1 of 2 tensors")));
}

TEST_F(MergeImportance, DifferentModelFilesAreWarnedOf) {
  auto first = file_of({{"w", {1, {1}, {1}}}}), second = first;
  first.provenance.model_hash = "a";
  second.provenance.model_hash = "b";
  EXPECT_EQ(merge({first, second}).provenance.model_hash, "");
  EXPECT_THAT(warnings_.warnings, ElementsAre(HasSubstr("different model files")));
}

TEST_F(MergeImportance, OtherMethodsFormsAndShapesAreRefusedByName) {
  const auto plain = file_of({{"w", {2, {1, 2}, {1}}}});
  auto fisher = plain, old = plain, wide = file_of({{"w", {1, {1, 2}, {1, 1}}}});
  fisher.method = ImportanceMethod::fisher;
  old.chunk_size = 0;
  EXPECT_THAT(refusal<BadFileError>({plain, fisher}), HasSubstr("file1: its method is fisher"));
  EXPECT_THAT(refusal<UsageError>({plain, plain, old}), HasSubstr("file2: the old form"));
  EXPECT_THAT(refusal<UsageError>({old, plain}), HasSubstr("file0: the old form"));
  EXPECT_THAT(refusal<BadFileError>({plain, wide}), HasSubstr("2 x 1"));
  auto first = plain, second = plain;
  first.fisher["w"] = {"w.fisher", ElementType::F32, {2, 2}};
  second.fisher["w"] = {"w.fisher", ElementType::F32, {3, 2}};
  EXPECT_THAT(refusal<BadFileError>({first, second}), HasSubstr("another shape"));
}

TEST_F(MergeImportance, WhatTheFormCannotHoldIsRefused) {
  const auto large = file_of({{"w", {1, {3e38f}, {1}}}});
  EXPECT_THAT(refusal<BadFileError>({large, large}), HasSubstr("sums"));
  const auto many = file_of({{"w", {1, {1}, {std::uint64_t{1} << 62}}}});
  EXPECT_THAT(refusal<BadFileError>({many, many}), HasSubstr("counts"));
  auto chunks = file_of({{"w", {1, {1}, {1}}}});
  chunks.chunk_count = 0xFFFFFFFF;
  EXPECT_THAT(refusal<BadFileError>({chunks, chunks}), HasSubstr("chunks"));
}

}  // namespace
}  // namespace tessera::stages
