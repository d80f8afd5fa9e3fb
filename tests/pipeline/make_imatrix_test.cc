// Whole calibration runs on the demo model: what they write, and that stopping them anywhere changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "base/message_recorder.h"
#include "foundation/base/error.h"
#include "foundation/formats/imatrix/fisher_reader.h"
#include "pipeline/imatrix.h"
#include "pipeline/small_model.h"

namespace tessera {
namespace {

using imatrix::ImportanceMethod;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Asks for a stop when the `steps`-th item is done.
class StopAfter final : public ProgressObserver {
 public:
  explicit StopAfter(int steps) : left_(steps) {}
  void begin(std::string_view, std::uint64_t) override {}
  void advance(std::uint64_t) override {}
  void item_done(std::string_view) override {
    if (--left_ == 0) stop.request();
  }
  void end() override {}
  void note(std::string_view) override {}
  void warn(std::string_view) override {}

  StopFlag stop;

 private:
  int left_;
};

class CalibrationOfTheDemoModel : public ::testing::Test {
 protected:
  CalibrationOfTheDemoModel() {
    std::string text;
    for (int i = 0; i < 120; ++i) {
      text += "She counted " + std::to_string(i * 53 % 97) + " lamps along the river before the rain came. ";
    }
    testing::write_whole(folder / "text.txt", text);
    ::setenv("XDG_CACHE_HOME", (folder / "cache").c_str(), 1);
  }

  pipeline::ImatrixSettings settings(ImportanceMethod method = ImportanceMethod::activation) const {
    pipeline::ImatrixSettings settings{.model = TESSERA_TESTDATA "/demo-model",
                                       .output = folder / "out.gguf"};
    settings.corpus.files = {{folder / "text.txt"}};
    settings.corpus.context = 32;
    settings.corpus.samples = 5;
    settings.method = method;
    settings.precision = kernels::Precision::f32;
    settings.threads = 2;
    settings.use_cache = false;
    return settings;
  }

  static pipeline::ImatrixReport run(const pipeline::ImatrixSettings& job) {
    SilentProgress silent;
    return pipeline::make_imatrix(job, silent, StopFlag());
  }

  /// The bytes that the job writes.
  static std::string bytes_of(const pipeline::ImatrixSettings& job) {
    run(job);
    return testing::read_whole(job.output);
  }

  testing::ScratchFolder folder;
};

TEST_F(CalibrationOfTheDemoModel, SeesEveryTokenInEveryLinear) {
  const auto matrix = run(settings()).matrix;
  EXPECT_EQ(matrix.entries.size(), 4u * 7u);
  for (const auto& [name, entry] : matrix.entries) {
    EXPECT_EQ(entry.counts, std::vector<std::uint64_t>{5 * 32}) << name;
    ASSERT_EQ(entry.maxima.size(), entry.columns) << name;
    for (std::size_t c = 0; c < entry.columns; ++c) {
      const float squared_maximum = entry.maxima[c] * entry.maxima[c];
      EXPECT_LE(entry.sums[c], 5 * 32 * squared_maximum * 1.0001f) << name;
      EXPECT_GE(entry.sums[c], squared_maximum * 0.9999f) << name;
    }
  }
  EXPECT_EQ(matrix.entries.at("blk.1.attn_q.weight").sums, matrix.entries.at("blk.1.attn_v.weight").sums);
  EXPECT_EQ(matrix.entries.at("blk.1.ffn_gate.weight").sums, matrix.entries.at("blk.1.ffn_up.weight").sums);
  EXPECT_NE(matrix.entries.at("blk.1.ffn_gate.weight").sums, matrix.entries.at("blk.2.ffn_gate.weight").sums);
}

class CalibrationOfAMixture : public CalibrationOfTheDemoModel {
 protected:
  pipeline::ImatrixSettings mixture(const std::string& name) const {
    auto job = settings();
    job.model = std::string(TESSERA_TESTDATA "/forward/") + name;
    return job;
  }
};

TEST_F(CalibrationOfAMixture, CountsTheTokensThatPassEachExpert) {
  const auto entries = run(mixture("qwen2-moe")).matrix.entries;
  const auto& down = entries.at("blk.1.ffn_down_exps.weight");
  EXPECT_EQ(down.experts(), 6u);
  EXPECT_EQ(down.columns, 32u);
  EXPECT_EQ(down.sums.size(), 6u * 32u);
  EXPECT_EQ(std::accumulate(down.counts.begin(), down.counts.end(), 0u), 5u * 32u * 3u);
  EXPECT_EQ(entries.at("blk.1.ffn_gate_exps.weight").counts, down.counts);
  EXPECT_EQ(entries.at("blk.1.ffn_gate_exps.weight").sums, entries.at("blk.1.ffn_up_exps.weight").sums);
  for (const char* name : {"ffn_down_shexp", "ffn_gate_inp", "ffn_gate_inp_shexp", "attn_q"}) {
    EXPECT_EQ(entries.at(std::string("blk.1.") + name + ".weight").counts,
              (std::vector<std::uint64_t>{5 * 32}))
        << name;
  }
}

TEST_F(CalibrationOfAMixture, SumsOfTheExpertsAddUpToThoseOfTheInputTheyShare) {
  const auto entries = run(mixture("qwen3-moe")).matrix.entries;
  const auto& experts = entries.at("blk.0.ffn_gate_exps.weight");
  const auto& input = entries.at("blk.0.ffn_gate_inp.weight");
  for (std::uint64_t c = 0; c < experts.columns; ++c) {
    double sum = 0;
    for (std::uint64_t x = 0; x < experts.experts(); ++x) sum += experts.sums[x * experts.columns + c];
    EXPECT_NEAR(sum, 2.0 * input.sums[c], 1e-4 * sum) << "every token passes two experts";
  }
}

TEST_F(CalibrationOfAMixture, DoesNotDependOnThreads) {
  auto job = mixture("qwen3-moe");
  const auto two = bytes_of(job);
  job.threads = 1;
  EXPECT_EQ(bytes_of(job), two);
}

TEST_F(CalibrationOfAMixture, NamesExpertsThatTheTextNeverReaches) {
  auto job = mixture("qwen3-moe");
  job.corpus.context = 2;
  job.corpus.samples = 1;
  testing::MessageRecorder messages;
  const auto matrix = pipeline::make_imatrix(job, messages, StopFlag()).matrix;
  EXPECT_THAT(matrix.entries.at("blk.0.ffn_up_exps.weight").counts, ::testing::Contains(0u));
  EXPECT_THAT(messages.warnings,
              ::testing::Contains(HasSubstr("blk.0.ffn_down_exps.weight: the text never")));
}

TEST_F(CalibrationOfAMixture, TakesNoGradientsAndSaysWhatDoesWithoutThem) {
  auto job = mixture("mixtral");
  job.method = ImportanceMethod::fisher;
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<UsageError>(HasSubstr("use --method activation")));
}

TEST_F(CalibrationOfTheDemoModel, SeesTheOutputOnRequestWithEveryMethod) {
  for (const auto method : imatrix::kAllImportanceMethods) {
    auto job = settings(method);
    EXPECT_FALSE(run(job).matrix.entries.contains("output.weight"));
    job.process_output = true;
    const auto matrix = run(job).matrix;
    const auto& sums = matrix.entries.at("output.weight").sums;
    EXPECT_GT(std::accumulate(sums.begin(), sums.end(), 0.0), 0) << name_of(method);
  }
}

TEST_F(CalibrationOfTheDemoModel, CountsWhatEachMethodSums) {
  const auto count_of = [&](ImportanceMethod method) {
    return run(settings(method)).matrix.entries.at("blk.0.attn_k.weight").counts.front();
  };
  EXPECT_EQ(count_of(ImportanceMethod::activation), 5u * 32u);
  EXPECT_EQ(count_of(ImportanceMethod::gradient), 5u);
  EXPECT_EQ(count_of(ImportanceMethod::fisher), 5u * 31u);
}

TEST_F(CalibrationOfTheDemoModel, WritesTheSameBytesWithAnyNumberOfThreadsAndAScratchFile) {
  for (const auto method : imatrix::kAllImportanceMethods) {
    auto job = settings(method);
    job.threads = 1;
    const auto alone = bytes_of(job);
    job.threads = 3;
    job.memory_bytes = 0;
    EXPECT_EQ(bytes_of(job), alone) << name_of(method);
  }
}

TEST_F(CalibrationOfTheDemoModel, WritesTheSameImportanceInTheOldForm) {
  auto job = settings();
  const auto matrix = run(job).matrix;
  job.output = folder / "out.dat";
  run(job);
  const auto old = imatrix::read_imatrix(job.output);
  ASSERT_EQ(old.entries.size(), matrix.entries.size());
  for (const auto& [name, entry] : matrix.entries) {
    const auto expected = entry.importance(0);
    const auto found = old.entries.at(name).importance(0);
    for (std::size_t c = 0; c < expected.size(); ++c) EXPECT_NEAR(found[c], expected[c], 1e-5f * expected[c]);
  }
}

TEST_F(CalibrationOfTheDemoModel, GoesOnAfterAStopAtAnyLayerAndEndsWithTheSameBytes) {
  for (const auto method : imatrix::kAllImportanceMethods) {
    auto job = settings(method);
    job.per_weight_fisher = method == ImportanceMethod::fisher;
    const auto expected = bytes_of(job);
    // 4 layers forward; with gradients then the output and 4 layers back.
    const std::vector<int> stops = method == ImportanceMethod::activation ? std::vector{1, 2, 3}
                                   : method == ImportanceMethod::gradient ? std::vector{2, 4, 5, 6, 8}
                                                                          : std::vector{3, 5, 7};
    for (const int stop_after : stops) {
      std::filesystem::remove(job.output);
      job.checkpoint = folder / ("checkpoint-" + std::string(name_of(method)) + std::to_string(stop_after));
      StopAfter progress(stop_after);
      EXPECT_THROW(pipeline::make_imatrix(job, progress, progress.stop), InterruptedError);
      EXPECT_FALSE(std::filesystem::exists(job.output));
      EXPECT_EQ(bytes_of(job), expected) << name_of(method) << " stopped after step " << stop_after;
    }
    job.checkpoint.reset();
  }
}

TEST_F(CalibrationOfTheDemoModel, SumsThePerWeightFisherToItsColumns) {
  auto job = settings(ImportanceMethod::fisher);
  job.per_weight_fisher = true;
  const auto matrix = run(job).matrix;
  const imatrix::FisherReader reader(job.output);
  for (const char* name : {"blk.0.attn_k.weight", "blk.3.ffn_down.weight"}) {
    const auto& entry = matrix.entries.at(name);
    const auto rows = matrix.fisher.at(name).rows();
    const auto diagonal = reader.rows(name, {0, rows});
    const auto expected = entry.importance(0);
    for (std::size_t c = 0; c < entry.columns; ++c) {
      double sum = 0;
      for (std::uint64_t row = 0; row < rows; ++row) sum += double{diagonal[row * entry.columns + c]};
      EXPECT_NEAR(sum, expected[c], 0.01 * double{expected[c]}) << name << ", column " << c;
    }
  }
}

TEST_F(CalibrationOfTheDemoModel, TakesTheResultOfAnEqualRunFromTheCache) {
  auto job = settings();
  job.use_cache = true;
  EXPECT_FALSE(run(job).from_cache);
  const auto first = testing::read_whole(job.output);
  job.output = folder / "again.gguf";
  job.threads = 1;
  EXPECT_TRUE(run(job).from_cache);
  EXPECT_EQ(testing::read_whole(job.output), first);
  job.corpus.samples = 4;
  EXPECT_FALSE(run(job).from_cache);
}

TEST_F(CalibrationOfTheDemoModel, RefusesTheCheckpointOfAnotherRunByWhatDiffers) {
  auto job = settings();
  job.checkpoint = folder / "checkpoint";
  StopAfter progress(1);
  EXPECT_THROW(pipeline::make_imatrix(job, progress, progress.stop), InterruptedError);
  job.corpus.samples = 4;
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<UsageError>(HasSubstr("samples=5")));
}

TEST_F(CalibrationOfTheDemoModel, RefusesWhatCannotBeWrittenBeforeItBegins) {
  auto job = settings(ImportanceMethod::fisher);
  job.per_weight_fisher = true;
  job.output = folder / "out.dat";
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<UsageError>(HasSubstr("old form")));
  job = settings();
  job.output = folder / "text.txt";
  EXPECT_THROW(run(job), UsageError);
  job.output = folder / "missing/out.gguf";
  EXPECT_THROW(run(job), UsageError);
}

}  // namespace
}  // namespace tessera
