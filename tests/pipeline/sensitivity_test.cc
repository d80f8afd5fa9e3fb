// Sensitivities of the demo model: what they say, and that neither threads nor stops change them.
#include "pipeline/sensitivity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/message_recorder.h"
#include "foundation/base/error.h"
#include "model/architecture/kept_tensors.h"
#include "pipeline/demo_model.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::kDemoModel;
using tessera::testing::MessageRecorder;
using tessera::testing::ScratchFolder;
using tessera::testing::short_corpus;
using tessera::testing::StopInStage;
using ::testing::Contains;
using ::testing::Each;
using ::testing::Gt;
using ::testing::Not;

/// Ranks from 0; the values differ.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = static_cast<double>(rank);
  return ranks;
}

double rank_correlation(const std::vector<double>& left, const std::vector<double>& right) {
  const auto a = ranks(left);
  const auto b = ranks(right);
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  const auto n = static_cast<double>(a.size());
  return 1 - 6 * squares / (n * (n * n - 1));
}

std::vector<double> losses_at(const Sensitivity& sensitivity, ElementType type) {
  std::vector<double> losses;
  for (const auto& tensor : sensitivity.tensors) {
    losses.push_back(loss_of(sensitivity, tensor.tensor, type).value());
  }
  return losses;
}

class SensitivityOfTheDemoModel : public ::testing::Test {
 protected:
  /// What the tests vary of a job.
  struct Job : TextWalkSettings {
    std::filesystem::path model = kDemoModel;
    int threads = 2;
  };

  static Job settings(std::uint32_t windows = 4) {
    Job settings;
    settings.corpus = short_corpus(windows);
    settings.sensitivity_samples = windows;
    settings.measured_samples = windows;
    settings.precision = kernels::Precision::f32;
    settings.use_cache = false;
    settings.seed = 3;
    return settings;
  }

  TextWalkJob walk(const Job& job) const {
    return {.path = job.model, .model = model_, .open = open_, .settings = job, .threads = job.threads};
  }

  /// Of every matrix of the model.
  static std::vector<TensorCandidates> candidates(const model::OpenedModel& model,
                                                  const std::vector<ElementType>& types) {
    std::vector<TensorCandidates> result;
    const auto tensors = model.weights->tensors();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (model::may_be_quantized(tensors[i])) result.push_back({i, types});
    }
    return result;
  }

  CalibrationStatistics marginals(const Job& job) { return fisher_marginals(walk(job), silent_, never_); }

  Sensitivity predicted(const Job& job, const std::vector<ElementType>& types) {
    return predict_losses(walk(job), candidates(model_, types), marginals(job), silent_, never_);
  }

  Sensitivity measured(const Job& job, const std::vector<ElementType>& types) {
    return measure_sensitivity(walk(job), candidates(model_, types), silent_, never_);
  }

  tessera::testing::OwnCache cache_;
  ScratchFolder folder_;
  model::OpenSettings open_;
  model::OpenedModel model_ = model::open_model(kDemoModel);
  SilentProgress silent_;
  StopFlag never_;
};

TEST_F(SensitivityOfTheDemoModel, KnowsRowsAndColumnsOfEveryMatrix) {
  const auto statistics = marginals(settings());
  for (const auto& candidate : candidates(model_, {})) {
    const auto& tensor = model_.weights->tensors()[candidate.tensor];
    ASSERT_TRUE(statistics.contains(tensor.name)) << tensor.name;
    const auto& found = statistics.at(tensor.name);
    EXPECT_EQ(found.sums.size(), tensor.columns()) << tensor.name;
    EXPECT_EQ(found.row_sums.size(), tensor.rows()) << tensor.name;
    // Both are sums of one diagonal.
    const double by_column = std::accumulate(found.sums.begin(), found.sums.end(), 0.0);
    const double by_row = std::accumulate(found.row_sums.begin(), found.row_sums.end(), 0.0);
    EXPECT_GT(by_row, 0) << tensor.name;
    EXPECT_NEAR(by_row, by_column, 1e-3 * by_row) << tensor.name;
  }
}

TEST_F(SensitivityOfTheDemoModel, IsTheSameForAnyNumberOfThreads) {
  auto job = settings();
  const auto expected = marginals(job);
  job.threads = 1;
  EXPECT_EQ(marginals(job), expected);
}

TEST_F(SensitivityOfTheDemoModel, FollowsTheSeedOfTheLabels) {
  auto job = settings();
  const auto expected = marginals(job);
  job.seed = 4;
  EXPECT_NE(marginals(job), expected);
}

TEST_F(SensitivityOfTheDemoModel, ComesFromTheCacheWithoutAWalk) {
  auto job = settings();
  const auto expected = marginals(job);
  job.use_cache = true;
  EXPECT_EQ(marginals(job), expected);
  job.threads = 1;
  MessageRecorder recorder;
  EXPECT_EQ(fisher_marginals(walk(job), recorder, never_), expected);
  EXPECT_THAT(recorder.stages, Not(Contains("sensitivities")));
  job.seed = 4;
  EXPECT_NE(fisher_marginals(walk(job), recorder, never_), expected);
  EXPECT_THAT(recorder.stages, Contains("sensitivities"));
}

TEST_F(SensitivityOfTheDemoModel, GoesOnAfterAStopAtAnyLayer) {
  auto job = settings();
  const auto expected = marginals(job);
  job.checkpoint = folder_ / "checkpoint";
  // 4 layers forward, the output, and 4 layers back; a stop after the last is none.
  for (int step = 1; step <= 8; ++step) {
    StopInStage progress("sensitivities", step);
    EXPECT_THROW(fisher_marginals(walk(job), progress, progress.stop), InterruptedError) << step;
    if (step < 8) {
      StopInStage again("sensitivities", 1);
      EXPECT_THROW(fisher_marginals(walk(job), again, again.stop), InterruptedError) << step;
    }
    EXPECT_EQ(marginals(job), expected) << "stopped after step " << step;
  }
}

TEST_F(SensitivityOfTheDemoModel, PredictsLessLossForMoreBits) {
  const std::vector types = {ElementType::Q2_K, ElementType::Q3_K, ElementType::Q4_K, ElementType::Q5_K,
                             ElementType::Q6_K};
  const auto sensitivity = predicted(settings(), types);
  EXPECT_EQ(sensitivity.method, SensitivityMethod::fisher);
  EXPECT_EQ(sensitivity.tensors.size(), 4u * 7u + 2u);
  for (const auto& tensor : sensitivity.tensors) {
    ASSERT_EQ(tensor.candidates.size(), types.size());
    for (std::size_t i = 0; i < types.size(); ++i) {
      EXPECT_EQ(tensor.candidates[i].type, types[i]);
      const double next = i + 1 < types.size() ? tensor.candidates[i + 1].loss : 0;
      EXPECT_GT(tensor.candidates[i].loss, next) << tensor.tensor << " as " << name_of(types[i]);
    }
  }
}

TEST_F(SensitivityOfTheDemoModel, KnowsTheEmbeddingAndTheOutputByEitherMethod) {
  const std::vector types = {ElementType::Q2_K, ElementType::Q4_K};
  for (const auto& sensitivity : {predicted(settings(), types), measured(settings(), types)}) {
    for (const char* name : {"token_embd.weight", "output.weight"}) {
      for (const auto type : types)
        EXPECT_GT(loss_of(sensitivity, name, type).value(), 0) << name_of(sensitivity.method) << name;
    }
  }
}

TEST_F(SensitivityOfTheDemoModel, RanksTensorsAsMeasuringEachAloneDoes) {
  const auto prediction = predicted(settings(16), {ElementType::Q2_K});
  const auto measurement = measured(settings(16), {ElementType::Q2_K});
  const auto predicted_losses = losses_at(prediction, ElementType::Q2_K);
  const auto measured_losses = losses_at(measurement, ElementType::Q2_K);
  EXPECT_THAT(measured_losses, Each(Gt(0)));
  EXPECT_GT(rank_correlation(predicted_losses, measured_losses), 0.6);
}

TEST_F(SensitivityOfTheDemoModel, MeasuresTheSameWithAnyNumberOfThreadsAndAScratchFile) {
  auto job = settings(2);
  const auto expected = losses_at(measured(job, {ElementType::Q2_K}), ElementType::Q2_K);
  job.threads = 1;
  job.memory_bytes = 0;
  job.scratch_folder = folder_.path();
  EXPECT_EQ(losses_at(measured(job, {ElementType::Q2_K}), ElementType::Q2_K), expected);
}

TEST_F(SensitivityOfTheDemoModel, MeasuresOnAfterAStop) {
  auto job = settings(2);
  const std::vector types = {ElementType::Q2_K};
  const auto expected = losses_at(measured(job, types), ElementType::Q2_K);
  job.checkpoint = folder_ / "checkpoint";
  for (const int probes : {1, 7, 8}) {
    StopInStage progress("measuring", probes);
    EXPECT_THROW(measure_sensitivity(walk(job), candidates(model_, types), progress, progress.stop),
                 InterruptedError);
  }
  EXPECT_EQ(losses_at(measured(job, types), ElementType::Q2_K), expected);
}

TEST_F(SensitivityOfTheDemoModel, OfATiedEmbeddingCountsBothOfItsUses) {
  model_ = model::open_model(TESSERA_TESTDATA "/forward/llama-tied");
  auto job = settings();
  job.model = TESSERA_TESTDATA "/forward/llama-tied";
  ASSERT_FALSE(model_.weights->find("output.weight"));
  const auto statistics = marginals(job);
  const auto& embedding = statistics.at("token_embd.weight");
  EXPECT_FALSE(statistics.contains("output.weight"));
  EXPECT_THAT(embedding.sums, Each(Gt(0)));
  // As output it has gradients in every row; as embedding alone only in those of the tokens that occur.
  EXPECT_THAT(embedding.row_sums, Each(Gt(0)));
  const std::vector types = {ElementType::BF16};  // its rows of 48 fit no blocks
  EXPECT_GT(loss_of(predicted(job, types), "token_embd.weight", types[0]).value(), 0);
  EXPECT_GT(loss_of(measured(job, types), "token_embd.weight", types[0]).value(), 0);
}

}  // namespace
}  // namespace tessera::pipeline
