// Runs with error feedback on a mixture of experts: statistics of every expert's own tokens where it saw
// enough of them, those of its layer where it did not.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <numeric>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "pipeline/dynamic_run.h"
#include "pipeline/mixture_model.h"
#include "pipeline/run_report.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::DynamicRun;
using tessera::testing::kDeadExpert;
using tessera::testing::kMixtureExperts;
using tessera::testing::kMixtureLayers;
using tessera::testing::ScratchFolder;
using tessera::testing::short_corpus;
using tessera::testing::StopInStage;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr double kNever = 1e9;  ///< tokens per column: no expert has them

class FeedbackExperts : public DynamicRun {
 protected:
  FeedbackExperts() { tessera::testing::write_mixture(model_); }

  QuantizeSettings job(double expert_tokens = 0) const {
    auto job = feedback_settings(model_, "Q4_0");
    job.feedback->expert_tokens = expert_tokens;
    job.feedback->sweeps = 0;
    return job;
  }

  /// Shared experts by tensor name, of tensors that stack them.
  std::map<std::string, std::vector<std::uint64_t>> shared_in(const QuantizeReport& report) const {
    std::map<std::string, std::vector<std::uint64_t>> shared;
    for (const auto& [tensor, outcome] : report.feedback) {
      const auto& source = report.plan.tensors[tensor].source;
      if (source.shape.size() == 3) shared[source.name] = outcome.shared_experts;
    }
    return shared;
  }

  ScratchFolder models_;
  std::filesystem::path model_ = models_ / "mixture.gguf";
};

/// A file of --keep-hessians.
struct KeptHessian {
  explicit KeptHessian(const std::filesystem::path& path) : file(gguf::open_gguf(path)) {
    std::vector<std::byte> scratch;
    const auto bytes = file->stored_rows(0, {0, file->tensors()[0].rows()}, scratch);
    values.resize(file->tensors()[0].weights());
    std::memcpy(values.data(), bytes.data(), bytes.size());
    tokens = file->metadata().unsigned_integer("tessera.hessian.tokens").value();
  }

  std::unique_ptr<gguf::GgufFile> file;
  std::vector<float> values;
  std::uint64_t tokens = 0;
};

TEST_F(FeedbackExperts, AreEncodedAndNeverWorseThanPlainly) {
  const auto report = run(job());
  ASSERT_EQ(report.feedback.size(), kMixtureLayers * 7);
  for (const auto& [tensor, outcome] : report.feedback) {
    const auto& planned = report.plan.tensors[tensor];
    EXPECT_EQ(outcome.rows, planned.source.rows()) << planned.source.name;
    EXPECT_LT(outcome.ratio(), 0.9) << planned.source.name;
    EXPECT_EQ(report.errors[tensor].sums, outcome.error.sums);
  }
  EXPECT_EQ(report.settings.at("encoder"), "feedback sweeps=0 damping=0.02 sequential=true expert_tokens=0");
  const auto tensors = tensors_in(job().output);
  EXPECT_EQ(tensors.at("blk.1.ffn_down_exps.weight").first, ElementType::Q4_0);
  EXPECT_EQ(tensors.at("blk.1.ffn_gate_inp.weight").first, ElementType::F32);
}

TEST_F(FeedbackExperts, ThatNoTokenPassesTakeTheStatisticsOfTheLayer) {
  const auto report = run(job());
  const auto shared = shared_in(report);
  ASSERT_THAT(shared, SizeIs(kMixtureLayers * 3));
  for (const auto& [name, experts] : shared) EXPECT_THAT(experts, Contains(kDeadExpert)) << name;
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("statistics of all experts")));
  const auto json = to_json(report);
  const auto& tensors = json.at("plan").at("tensors");
  const auto row = std::ranges::find_if(
      tensors, [](const auto& tensor) { return tensor.at("name") == "blk.1.ffn_up_exps.weight"; });
  EXPECT_EQ(row->at("feedback").at("shared_experts"), shared.at("blk.1.ffn_up_exps.weight"));
}

TEST_F(FeedbackExperts, ShareTheMeanOverAllTokensOfAllExperts) {
  auto own = job(0), shared = job(kNever);
  own.feedback->keep_hessians = folder_ / "own";
  shared.feedback->keep_hessians = folder_ / "shared";
  run(own);
  for (const auto& [name, experts] : shared_in(run(shared)))
    EXPECT_THAT(experts, SizeIs(kMixtureExperts)) << name;
  const KeptHessian all(folder_ / "shared/blk.0.ffn_gate_exps.weight.experts.hessian.gguf");
  std::vector<double> expected(all.values.size());
  std::uint64_t tokens = 0;
  for (std::uint64_t x = 0; x < kMixtureExperts; ++x) {
    const auto path = folder_ / fmt::format("own/blk.0.ffn_gate_exps.weight.expert-{}.hessian.gguf", x);
    if (!std::filesystem::exists(path)) continue;
    const KeptHessian one(path);
    tokens += one.tokens;
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] += static_cast<double>(one.tokens) * one.values[i];
  }
  EXPECT_EQ(tokens, 2u * 8 * 32);  // of every token twice: it passes two experts
  EXPECT_EQ(all.tokens, tokens);
  for (std::size_t i = 0; i < expected.size(); i += 97)
    EXPECT_NEAR(all.values[i], expected[i] / static_cast<double>(tokens),
                1e-5 * (1 + std::abs(all.values[i])));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "shared/blk.0.ffn_gate_exps.weight.expert-0.hessian.gguf"));
}

TEST_F(FeedbackExperts, HaveStatisticsOfTheirOwnFromTheThresholdOn) {
  auto counting = job(0);
  counting.feedback->keep_hessians = folder_ / "own";
  run(counting);
  // In the first layer, whose inputs the threshold does not change.
  std::vector<std::uint64_t> tokens(kMixtureExperts);
  for (std::uint64_t x = 0; x < kMixtureExperts; ++x) {
    const auto path = folder_ / fmt::format("own/blk.0.ffn_gate_exps.weight.expert-{}.hessian.gguf", x);
    if (std::filesystem::exists(path)) tokens[x] = KeptHessian(path).tokens;
  }
  auto counts = tokens;
  std::ranges::sort(counts);
  ASSERT_EQ(counts.front(), 0u);
  ASSERT_LT(counts[1], counts.back());
  for (const std::uint64_t enough : {counts[1] + 1, counts.back()}) {
    std::vector<std::uint64_t> expected;
    for (std::uint64_t x = 0; x < kMixtureExperts; ++x) {
      if (tokens[x] < enough) expected.push_back(x);
    }
    const double columns = tessera::testing::kMixtureWidth;  // of gate and of down
    const auto shared = shared_in(run(job(static_cast<double>(enough) / columns)));
    EXPECT_EQ(shared.at("blk.0.ffn_gate_exps.weight"), expected) << enough;
    EXPECT_EQ(shared.at("blk.0.ffn_up_exps.weight"), expected) << enough;
  }
}

TEST_F(FeedbackExperts, HaveTheSameBytesForAnyNumberOfThreads) {
  for (const auto precision : kernels::available_precisions()) {
    auto one = job(0.3), three = job(0.3);
    one.walks.precision = three.walks.precision = precision;
    one.encode.threads = 1;
    three.encode.threads = 3;
    EXPECT_EQ(bytes_of(one), bytes_of(three));
  }
}

TEST_F(FeedbackExperts, WithAndWithoutStatisticsOfTheirOwnAreOtherFiles) {
  EXPECT_NE(bytes_of(job(0)), bytes_of(job(kNever)));
}

TEST_F(FeedbackExperts, AreEncodedLayerForItselfToo) {
  auto parallel = job();
  parallel.feedback->sequential = false;
  for (const auto& [tensor, outcome] : run(parallel).feedback) EXPECT_LT(outcome.ratio(), 0.9);
}

TEST_F(FeedbackExperts, LearnFromASingleWindow) {
  auto single = job();
  single.walks.corpus = short_corpus(1);
  for (const auto& [tensor, outcome] : run(single).feedback) EXPECT_LE(outcome.ratio(), 1);
}

TEST_F(FeedbackExperts, StayAsTheyAreWhereThePlanSaysSo) {
  auto some = job();
  some.overrides = {{"ffn_up_exps", ElementType::F16}, {"ffn_down_exps", ElementType::F16}};
  const auto report = run(some);
  EXPECT_EQ(report.feedback.size(), kMixtureLayers * 5);
  EXPECT_EQ(tensors_in(some.output).at("blk.1.ffn_up_exps.weight"),
            tensors_in(model_).at("blk.1.ffn_up_exps.weight"));
}

TEST_F(FeedbackExperts, EndWithTheSameBytesAfterAStopAnywhere) {
  const auto expected = bytes_of(job(0.3));
  std::filesystem::remove(job().output);
  // Items of the stage are tensors and, behind the seven of each, layers.
  for (const int items : {5, 7, 8, 15}) {
    SCOPED_TRACE(items);
    StopInStage progress("error feedback", items);
    EXPECT_THROW(quantize(job(0.3), progress, progress.stop), InterruptedError);
    EXPECT_FALSE(std::filesystem::exists(job().output));
    const auto report = run(job(0.3));
    EXPECT_EQ(tessera::testing::read_whole(job().output), expected);
    EXPECT_EQ(report.feedback.size(), kMixtureLayers * 7);
    EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
    std::filesystem::remove(job().output);
  }
}

TEST_F(FeedbackExperts, EndWithTheSameBytesAfterARunWasKilled) {
  const auto expected = bytes_of(job());
  std::filesystem::remove(job().output);
  for (const int items : {6, 11}) {
    SCOPED_TRACE(items);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto alone = job();
      alone.encode.threads = 1;  // OpenMP's threads do not survive a fork
      tessera::testing::ActInStage progress("error feedback", items, [] { ::kill(::getpid(), SIGKILL); });
      quantize(alone, progress, never_);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(bytes_of(job()), expected);
    std::filesystem::remove(job().output);
  }
}

class DynamicFeedbackExperts : public FeedbackExperts {
 protected:
  QuantizeSettings dynamic_job() const {
    auto dynamic = settings({SizeTarget::Kind::bits_per_weight, 4});
    dynamic.model = model_;
    dynamic.dynamic->policy.candidates = {ElementType::Q2_K, ElementType::Q6_K};
    dynamic.dynamic->policy.rules.clear();
    dynamic.walks.corpus = short_corpus(2);
    dynamic.walks.sensitivity_samples = 2;
    dynamic.feedback.emplace();
    return dynamic;
  }
};

TEST_F(DynamicFeedbackExperts, TakeTheLossesOfThePrior) {
  const auto report = run(dynamic_job());
  EXPECT_EQ(report.dynamic.value().sensitivity.method, SensitivityMethod::prior);
  EXPECT_THAT(shared_in(report), SizeIs(kMixtureLayers * 3));
}

TEST_F(DynamicFeedbackExperts, HaveLowerLossesThanWithoutFeedbackWhereTheyAreMeasured) {
  auto with = dynamic_job();
  with.dynamic->sensitivity = SensitivityMethod::measured;
  with.dry_run = true;
  auto without = with;
  without.feedback.reset();
  const auto lower = run(with).dynamic.value().sensitivity;
  const auto higher = run(without).dynamic.value().sensitivity;
  EXPECT_TRUE(lower.with_feedback);
  for (const auto& tensor : higher.tensors) {
    if (tensor.tensor.find("_exps") == std::string::npos) continue;
    const double plain = loss_of(higher, tensor.tensor, ElementType::Q2_K).value();
    const double share = loss_of(lower, tensor.tensor, ElementType::Q2_K).value() / plain;
    EXPECT_GT(share, 0.0) << tensor.tensor;
    EXPECT_LT(share, 0.9) << tensor.tensor;
  }
  auto one = with;
  one.encode.threads = 1;
  one.walks.use_cache = false;
  const auto again = run(one).dynamic.value().sensitivity;
  for (const auto& tensor : lower.tensors)
    EXPECT_EQ(loss_of(again, tensor.tensor, ElementType::Q2_K),
              loss_of(lower, tensor.tensor, ElementType::Q2_K));
}

}  // namespace
}  // namespace tessera::pipeline
