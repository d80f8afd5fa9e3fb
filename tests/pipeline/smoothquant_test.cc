// Smoothing runs on the demo model with planted outliers, from the model to the folder: what they write, how
// well it predicts, what they refuse, and that a stopped run goes on and ends with the same bytes.
#include "pipeline/smoothquant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "foundation/base/error.h"
#include "model/forward/decoder_config.h"
#include "pipeline/demo_model.h"
#include "pipeline/evaluate.h"
#include "pipeline/plain_gguf.h"
#include "pipeline/smoothquant_report.h"
#include "stages/smoothed_weights.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;
using Output = SmoothQuantSettings::Output;
using tessera::testing::kDemoModel;
using tessera::testing::kDemoText;
using tessera::testing::read_whole;
using tessera::testing::short_corpus;
using tessera::testing::StopInStage;
using ::testing::HasSubstr;

/// Another source without one of its tensors.
class WithoutTensor final : public WeightSource {
 public:
  WithoutTensor(const WeightSource& base, const std::string& name) : base_(base) {
    for (std::size_t i = 0; i < base.tensors().size(); ++i) {
      if (base.tensors()[i].name == name) continue;
      tensors_.push_back(base.tensors()[i]);
      origins_.push_back(i);
    }
  }
  const std::string& name() const override { return base_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return tensors_; }
  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    return base_.stored_rows(origins_[tensor], rows, scratch);
  }
  void discard(std::size_t tensor, RowRange rows) const override { base_.discard(origins_[tensor], rows); }

 private:
  const WeightSource& base_;
  std::vector<TensorDescriptor> tensors_;
  std::vector<std::size_t> origins_;
};

/// The demo model in F32 with two channels of every norm that stand out.
void write_outlier_model(const fs::path& output, const std::string& architecture = "llama",
                         const std::string& without = "") {
  auto model = model::open_model(kDemoModel);
  const auto config = model::read_decoder_config(model);
  const auto rules = model::smoothing_folds("llama");
  SmoothingPlan plan;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    for (const char* fold : {"attention", "feed_forward"}) {
      plan.folds.push_back({.layer = layer, .fold = fold, .alpha = 1});
      plan.folds.back().scales.assign(config.embedding, 1);
      for (const std::size_t channel : {3 + layer, 40 + layer}) plan.folds.back().scales[channel] = 1 / 200.0;
    }
  }
  const stages::SmoothedWeights outliers(*model.weights, plan, rules, {});
  model.metadata.set("general.architecture", architecture);
  SilentProgress silent;
  write_plain_gguf(WithoutTensor(outliers, without), model.metadata,
                   {.input = kDemoModel, .output = output, .type = ElementType::F32}, silent, StopFlag());
}

class SmoothQuantRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    models_ = std::make_unique<tessera::testing::ScratchFolder>();
    write_outlier_model(outliers());
  }
  static void TearDownTestSuite() { models_.reset(); }
  static fs::path outliers() { return *models_ / "outliers.gguf"; }

  SmoothQuantSettings job(Output form = Output::w8a8, const std::string& name = "out") const {
    SmoothQuantSettings job{.model = outliers(), .output = folder_ / name, .form = form};
    job.walks.corpus = short_corpus(8);
    job.walks.precision = kernels::Precision::f32;
    job.walks.use_cache = false;
    job.threads = 2;
    job.smoothing.checkpoint_interval = std::chrono::milliseconds(0);
    return job;
  }

  SmoothQuantReport run(const SmoothQuantSettings& job) {
    SilentProgress silent;
    return smoothquant(job, silent, StopFlag());
  }

  /// Against the original.
  Evaluation judge(const fs::path& model) {
    EvaluateSettings settings;
    settings.model = outliers();
    settings.quantized = model;
    settings.corpus = short_corpus(8);
    settings.precision = kernels::Precision::f32;
    SilentProgress silent;
    return evaluate(settings, silent, StopFlag());
  }

  static std::map<std::string, std::string> files_of(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder))
      files[entry.path().filename().string()] = read_whole(entry.path());
    return files;
  }

  template <class Error>
  void expect_refused(const SmoothQuantSettings& job, const std::string& reason) {
    try {
      run(job);
      ADD_FAILURE() << "not refused: " << reason;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(reason));
    }
    EXPECT_FALSE(fs::exists(folder_ / "out"));
    EXPECT_FALSE(fs::exists(folder_ / "out.partial"));
  }

  tessera::testing::OwnCache cache_;
  tessera::testing::ScratchFolder folder_;

 private:
  static std::unique_ptr<tessera::testing::ScratchFolder> models_;
};

std::unique_ptr<tessera::testing::ScratchFolder> SmoothQuantRun::models_;

TEST_F(SmoothQuantRun, RescuesAModelWithOutliersFromEightBits) {
  auto naive = job(Output::w8a8, "naive");
  naive.smoothing.config.strength.kind = SmoothingStrength::Kind::none;
  run(naive);
  run(job());
  const auto bad = judge(folder_ / "naive");
  const auto good = judge(folder_ / "out");
  EXPECT_GT(bad.change->kl_divergence.value, 20 * good.change->kl_divergence.value);
  EXPECT_NEAR(good.quantized->perplexity.value / good.original.perplexity.value, 1, 0.005);
}

TEST_F(SmoothQuantRun, IsTheSameModelWhenOnlySmoothed) {
  for (const char* name : {"smoothed.gguf", "smoothed"}) {
    run(job(Output::smoothed, name));
    EXPECT_LT(judge(folder_ / name).change->kl_divergence.value, 1e-9) << name;
  }
}

TEST_F(SmoothQuantRun, KeepsFloatsInTheTypeOfTheModelOrAsAskedFor) {
  auto settings = job();
  EXPECT_EQ(run(settings).type, ElementType::F32);
  settings = job(Output::w8a8, "bf16");
  settings.type = ElementType::BF16;
  EXPECT_EQ(run(settings).type, ElementType::BF16);
  EXPECT_THAT(read_whole(folder_ / "bf16/config.json"), HasSubstr("bfloat16"));
  EXPECT_LT(judge(folder_ / "bf16").change->kl_divergence.value, 0.01);
}

TEST_F(SmoothQuantRun, SearchesForAlphaNeverToTheLossOfTheLayers) {
  auto settings = job();
  settings.smoothing.config.strength.kind = SmoothingStrength::Kind::automatic;
  const auto report = run(settings);
  ASSERT_EQ(report.plan.folds.size(), 4 * 4u);
  for (const auto& fold : report.plan.folds) {
    double found = 0, half = 0;
    for (const auto& linear : fold.linears) {
      found += linear.smoothed_error;
      half += linear.half_error.value();
    }
    EXPECT_LE(found, half) << fold.layer << " " << fold.fold;
  }
}

TEST_F(SmoothQuantRun, WritesInputScalesWhereActivationsAreStatic) {
  auto settings = job();
  settings.smoothing.static_activations = true;
  run(settings);
  const auto model = open_for_evaluation(folder_ / "out", {});
  EXPECT_TRUE(model.weights->find("blk.0.attn_q.input_scale"));
  EXPECT_TRUE(model.weights->find("blk.3.ffn_down.input_scale"));
  const auto evaluation = judge(folder_ / "out");
  EXPECT_NEAR(evaluation.quantized->perplexity.value / evaluation.original.perplexity.value, 1, 0.02);
}

TEST_F(SmoothQuantRun, ReportsAllModelsThatComeOfOne) {
  auto settings = job();
  settings.evaluation = short_corpus(4);
  const auto report = to_json(run(settings));
  const auto& variants = report.at("evaluation").at("variants");
  ASSERT_EQ(variants.size(), 3u);
  EXPECT_LT(variants[0].at("kl_divergence"), 1e-4);
  EXPECT_GT(variants[1].at("kl_divergence"), 10 * variants[2].at("kl_divergence").get<double>());
  ASSERT_EQ(report.at("folds").size(), 16u);
  const auto& fold = report.at("folds")[0];
  EXPECT_GT(fold.at("original").at("input").at("outlier_ratio"), 50);
  EXPECT_LT(fold.at("smoothed").at("input").at("outlier_ratio"),
            fold.at("original").at("input").at("outlier_ratio").get<double>() / 5);
  EXPECT_EQ(report.at("provenance").at("files").size(), 3u);
}

TEST_F(SmoothQuantRun, IsTheSameForAnyNumberOfThreads) {
  auto one = job(Output::w8a8, "one");
  one.threads = 1;
  run(one);
  auto three = job(Output::w8a8, "three");
  three.threads = 3;
  run(three);
  EXPECT_EQ(files_of(folder_ / "one"), files_of(folder_ / "three"));
}

TEST_F(SmoothQuantRun, GoesOnWhereItWasStoppedAndEndsWithTheSameBytes) {
  run(job(Output::w8a8, "whole"));
  StopInStage progress("smoothing", 2);
  EXPECT_THROW(smoothquant(job(), progress, progress.stop), InterruptedError);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_TRUE(fs::exists(folder_ / "out.work"));
  run(job());
  EXPECT_EQ(files_of(folder_ / "out"), files_of(folder_ / "whole"));
  EXPECT_FALSE(fs::exists(folder_ / "out.work"));
}

TEST_F(SmoothQuantRun, FindsTheWalkOfAnEqualRunInTheCache) {
  auto settings = job();
  settings.walks.use_cache = true;
  const auto first = run(settings);
  settings.output = folder_ / "again";
  StopInStage walked("smoothing", 1);
  const auto second = smoothquant(settings, walked, StopFlag());
  EXPECT_FALSE(walked.stop.requested()) << "the walk was made again";
  EXPECT_EQ(second.plan, first.plan);
}

TEST_F(SmoothQuantRun, FollowsTheRulesOfAFile) {
  auto settings = job();
  settings.smoothing.config = parse_smoothing_config("rules: [{layers: 1, folds: down, alpha: none}]", "f");
  for (const auto& fold : run(settings).plan.folds)
    EXPECT_EQ(fold.alpha.has_value(), !(fold.layer == 1 && fold.fold == "down"));
}

TEST_F(SmoothQuantRun, RefusesWhatCannotWorkBeforeTheWalk) {
  auto settings = job();
  settings.smoothing.percentile = 80;
  expect_refused<UsageError>(settings, "--percentile");
  expect_refused<UsageError>(job(Output::w8a8, "out.gguf"), "--smooth-only");
  settings = job();
  settings.walks.corpus.files = {{folder_ / "missing.txt"}};
  expect_refused<BadFileError>(settings, "missing.txt");
  tessera::testing::write_whole(folder_ / "empty.txt", "");
  settings.walks.corpus.files = {{folder_ / "empty.txt"}};
  expect_refused<BadFileError>(settings, "empty.txt");
}

TEST_F(SmoothQuantRun, RefusesAFolderThatIsNotEmpty) {
  fs::create_directory(folder_ / "full");
  tessera::testing::write_whole(folder_ / "full/notes.txt", "mine");
  EXPECT_THROW(run(job(Output::w8a8, "full")), UsageError);
  EXPECT_EQ(read_whole(folder_ / "full/notes.txt"), "mine");
  fs::create_directory(folder_ / "free");
  run(job(Output::w8a8, "free"));
  EXPECT_TRUE(fs::exists(folder_ / "free/model.safetensors"));
}

TEST_F(SmoothQuantRun, NamesANormThatIsMissing) {
  write_outlier_model(folder_ / "partial.gguf", "llama", "blk.2.ffn_norm.weight");
  auto settings = job();
  settings.model = folder_ / "partial.gguf";
  expect_refused<BadFileError>(settings, "blk.2.ffn_norm.weight");
}

TEST_F(SmoothQuantRun, RefusesWhatAFolderCannotHoldBeforeTheWalk) {
  auto model = model::open_model(outliers());
  model.metadata.set("llama.rope.scaling.type", std::string("longrope"));
  SilentProgress silent;
  write_plain_gguf(*model.weights, model.metadata,
                   {.input = outliers(), .output = folder_ / "other.gguf", .type = ElementType::F32}, silent,
                   StopFlag());
  auto settings = job();
  settings.model = folder_ / "other.gguf";
  StopInStage walked("smoothing", 1);
  EXPECT_THROW(smoothquant(settings, walked, StopFlag()), BadFileError);
  EXPECT_FALSE(walked.stop.requested()) << "the walk was made first";
}

TEST_F(SmoothQuantRun, RefusesModelsWhoseFoldsAreNotKnown) {
  write_outlier_model(folder_ / "other.gguf", "gptneox");
  auto settings = job();
  settings.model = folder_ / "other.gguf";
  expect_refused<BadFileError>(settings, "gptneox");
}

}  // namespace
}  // namespace tessera::pipeline
