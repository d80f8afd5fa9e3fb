// Dynamic quantization of the demo model from the model to the file: sizes, plans, what the file says of
// itself, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "pipeline/dynamic_run.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::DynamicRun;
using tessera::testing::importance_for;
using tessera::testing::kDemoModel;
using tessera::testing::kDemoText;
using tessera::testing::policy_without_floors;
using tessera::testing::read_whole;
using tessera::testing::write_model;
using tessera::testing::write_whole;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::ThrowsMessage;

using Kind = SizeTarget::Kind;

class DynamicQuantization : public DynamicRun {
 protected:
  /// A plan alone; nothing is written.
  QuantizeReport planned(SizeTarget target) {
    auto job = settings(target);
    job.dynamic->policy = policy_without_floors();
    job.dry_run = true;
    return run(job);
  }

  static std::uint64_t file_bytes(const QuantizeReport& report) {
    std::uint64_t bytes = 0;
    for (const auto& file : report.files) bytes += file.bytes;
    return bytes;
  }
};

TEST_F(DynamicQuantization, TakesAtMostTheTargetAndNearlyAllOfIt) {
  constexpr int kTargets = 20;
  for (int i = 0; i < kTargets; ++i) {
    const double target = 1.8 + (8.0 - 1.8) * i / (kTargets - 1);
    const auto size = size_of(planned({Kind::bits_per_weight, target}).plan);
    EXPECT_LE(size.target_bpw(), target);
    EXPECT_GE(size.target_bpw(), 0.995 * target);
  }
}

TEST_F(DynamicQuantization, MeetsSizesOfTheWholeFile) {
  for (const double target : {1.4e6, 1.7e6, 2.3e6, 4e6}) {
    const auto report = planned({Kind::file_bytes, target});
    EXPECT_LE(static_cast<double>(file_bytes(report)), target);
    EXPECT_GE(static_cast<double>(file_bytes(report)), 0.995 * target);
  }
}

TEST_F(DynamicQuantization, MeetsSavingsAgainstTheWholeFileInSixteenBits) {
  for (const double target : {60.0, 75.0, 84.0}) {
    const auto report = planned({Kind::compression, target});
    const auto size = size_of(report.plan);
    const auto tensors = static_cast<double>(size.target_bytes);
    const double others = static_cast<double>(file_bytes(report)) - tensors;
    const double allowed = (1 - target / 100) * (2 * static_cast<double>(size.weights) + others);
    EXPECT_LE(static_cast<double>(file_bytes(report)), allowed);
    EXPECT_GE(static_cast<double>(file_bytes(report)), 0.995 * allowed);
  }
}

TEST_F(DynamicQuantization, WritesFilesOfTheSizeThatWasPlanned) {
  auto job = settings({Kind::file_bytes, 1.8e6});
  job.dry_run = true;
  const auto planned = run(job);
  EXPECT_FALSE(std::filesystem::exists(job.output));
  job.dry_run = false;
  const auto written = run(job);
  EXPECT_EQ(std::filesystem::file_size(job.output), file_bytes(planned));
  EXPECT_EQ(file_bytes(written), file_bytes(planned));
}

TEST_F(DynamicQuantization, ObeysTheFloorsOfItsProfile) {
  const auto report = run(settings());
  for (const auto& tensor : report.plan.tensors) {
    const double bits = info(tensor.target).bits_per_weight();
    if (tensor.source.name == "token_embd.weight") {
      EXPECT_GE(bits, info(ElementType::Q2_K).bits_per_weight());
    }
    if (tensor.source.name == "output.weight") {
      EXPECT_GE(bits, info(ElementType::IQ3_XXS).bits_per_weight());
    }
  }
  EXPECT_GT(report.header.predicted_loss.value(), 0);
  EXPECT_EQ(report.header.sensitivity, SensitivityMethod::fisher);
}

TEST_F(DynamicQuantization, PredictsLessLossOnTheCurveForMoreBytes) {
  const auto curve = planned({Kind::bits_per_weight, 3}).dynamic.value().curve;
  ASSERT_GE(curve.size(), 10u);
  for (std::size_t i = 1; i < curve.size(); ++i) {
    EXPECT_GT(curve[i].tensor_bytes, curve[i - 1].tensor_bytes);
    EXPECT_LT(curve[i].loss, curve[i - 1].loss);
  }
}

TEST_F(DynamicQuantization, WritesTheSameBytesWithAnyNumberOfThreadsCachedOrNot) {
  auto job = settings();
  job.walks.use_cache = false;
  const auto expected = bytes_of(job);
  job.encode.threads = 1;
  EXPECT_EQ(bytes_of(job), expected);
  job.walks.use_cache = true;
  EXPECT_EQ(bytes_of(job), expected);
  recorder_.stages.clear();
  EXPECT_EQ(bytes_of(job), expected);
  EXPECT_THAT(recorder_.stages, Not(AnyOf(Contains("calibrating"), Contains("sensitivities"))));
}

TEST_F(DynamicQuantization, WritesTheSameTensorsFromItsSavedPlan) {
  for (const auto method : {SensitivityMethod::fisher, SensitivityMethod::measured}) {
    auto job = settings();
    job.dynamic->sensitivity = method;
    const auto report = run(job);
    const auto expected = tensors_in(job.output);
    write_whole(folder_ / "plan.yaml", to_yaml(report.plan, report.header));
    job.dynamic.reset();
    job.plan_file = folder_ / "plan.yaml";
    job.output = folder_ / "again.gguf";
    run(job);
    EXPECT_EQ(tensors_in(job.output), expected) << name_of(method);
  }
}

TEST_F(DynamicQuantization, SaysInTheFileHowItWasMade) {
  const auto job = settings();
  const auto report = run(job);
  const auto file = gguf::open_gguf(job.output);
  const auto document = parse_plan(file->metadata().text("tessera.plan").value(), "tessera.plan");
  EXPECT_EQ(document.header.profile, "balanced");
  EXPECT_EQ(document.header.target, "2.5 bits per weight");
  for (const auto& planned : document.tensors) {
    EXPECT_EQ(file->tensors()[file->find(planned.tensor).value()].type, planned.type) << planned.tensor;
  }
  const auto provenance = nlohmann::json::parse(file->metadata().text("tessera.provenance").value());
  EXPECT_EQ(provenance, to_json(report.provenance, PathForm::name_only));
  const auto text = std::ranges::find(provenance, "calibration text",
                                      [](const auto& entry) { return entry.at("purpose"); });
  ASSERT_NE(text, provenance.end());
  EXPECT_EQ(text->at("path"), "demo.txt");
  EXPECT_EQ(text->at("bytes"), std::filesystem::file_size(kDemoText));
  EXPECT_EQ(text->at("xxh128").get<std::string>().size(), 32u);
}

TEST_F(DynamicQuantization, DoesWithAnImportanceMatrixAndNoTexts) {
  auto job = settings();
  write_model(folder_ / "small.gguf");
  imatrix::write_imatrix_gguf(folder_ / "im.gguf", importance_for({}));
  job.model = folder_ / "small.gguf";
  job.imatrix = folder_ / "im.gguf";
  job.walks.corpus = {};
  job.dynamic->target.value = 3;
  const auto report = run(job);
  EXPECT_EQ(report.importance.origin.value().file, (folder_ / "im.gguf").string());
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("without texts")));
  EXPECT_EQ(report.header.sensitivity, SensitivityMethod::prior);
  EXPECT_LE(size_of(report.plan).target_bpw(), 3);
}

TEST_F(DynamicQuantization, AssumesSensitivitiesOfModelsThatItCannotWalk) {
  write_model(folder_ / "small.gguf");  // without what a forward pass needs to know
  imatrix::write_imatrix_gguf(folder_ / "im.gguf", importance_for({}));
  auto job = settings({Kind::bits_per_weight, 3});
  job.model = folder_ / "small.gguf";
  job.imatrix = folder_ / "im.gguf";
  EXPECT_EQ(run(job).header.sensitivity, SensitivityMethod::prior);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("assumed from role and depth")));
}

TEST_F(DynamicQuantization, WarnsOfLowTargetsBeforeItBegins) {
  auto job = settings({Kind::bits_per_weight, 2.4});
  job.dry_run = true;
  run(job);
  EXPECT_THAT(recorder_.warnings, Contains(HasSubstr("2.40 bits per weight")));
  recorder_.warnings.clear();
  job.dynamic->target.value = 2.6;
  run(job);
  EXPECT_THAT(recorder_.warnings, IsEmpty());
}

TEST_F(DynamicQuantization, RefusesQuantizedModelsBeforeAnyWalk) {
  auto job = settings();
  job.dynamic.reset();
  job.type = "Q8_0";
  job.walks.corpus = {};
  job.output = folder_ / "quantized.gguf";
  run(job);
  job = settings();
  job.model = folder_ / "quantized.gguf";
  recorder_.stages.clear();
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<UsageError>(HasSubstr("--allow-requantize")));
  EXPECT_FALSE(has_walked());
  job.allow_requantize = true;
  EXPECT_NO_THROW(run(job));
}

TEST_F(DynamicQuantization, RefusesTargetsThatCannotBeReachedBeforeAnyWalk) {
  for (const auto target : {SizeTarget{Kind::bits_per_weight, 1.5}, SizeTarget{Kind::file_bytes, 500'000},
                            SizeTarget{Kind::compression, 95}}) {
    EXPECT_THAT([&] { run(settings(target)); },
                ThrowsMessage<UsageError>(AllOf(HasSubstr("cannot be reached"), HasSubstr("the least"))));
  }
  EXPECT_FALSE(has_walked());
}

TEST_F(DynamicQuantization, RefusesRulesThatMatchNothingOrContradictBeforeAnyWalk) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"rules:\n  - {tensors: blk.1.attn_z.weight, min: 4}\n", "conf.yaml:2"},
      {"rules:\n  - {roles: attn_v, layers: 7, min: 4}\n", "conf.yaml:2"},
      {"exclude: [blk.1.atn_q.weight]\n", "blk.1.attn_q.weight"},
      {"rules:\n  - {roles: attn_v, min: Q6_K}\n  - {layers: 1, max: Q4_K}\n", "conf.yaml:3"},
      {"rules:\n  - {layers: 1, min: 40}\n", "conf.yaml"},
  };
  for (const auto& [text, said] : cases) {
    auto job = settings();
    EXPECT_THAT(([&, configuration = text] {
                  job.dynamic->policy = parse_quant_config(configuration, "conf.yaml").policy;
                  run(job);
                }),
                ThrowsMessage<BadFileError>(HasSubstr(said)))
        << text;
  }
  EXPECT_FALSE(has_walked());
}

TEST_F(DynamicQuantization, RefusesMethodsThatNeedTextsWithoutTexts) {
  for (const auto method : {SensitivityMethod::fisher, SensitivityMethod::measured}) {
    auto job = settings();
    job.walks.corpus = {};
    job.dynamic->sensitivity = method;
    job.dynamic->target.value = 4;
    EXPECT_THAT([&] { run(job); },
                ThrowsMessage<UsageError>(AllOf(HasSubstr(std::string(name_of(method))), HasSubstr("-f"))));
  }
  EXPECT_FALSE(has_walked());
}

TEST_F(DynamicQuantization, RefusesPlacesItCannotWriteToBeforeAnyWalk) {
  auto job = settings();
  job.output = folder_ / "absent/out.gguf";
  EXPECT_THROW(run(job), UsageError);
  job = settings();
  job.walks.corpus.files.push_back({folder_ / "absent.txt"});
  EXPECT_THROW(run(job), BadFileError);
  EXPECT_FALSE(has_walked());
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(DynamicQuantization, ComputesImportanceForRecipesToo) {
  auto job = settings();
  job.dynamic.reset();
  job.type = "IQ2_XS";
  const auto report = run(job);
  EXPECT_EQ(report.importance.origin.value().file, kComputedImportance);
  EXPECT_THAT(folder_.names(), ElementsAre("out.gguf"));
  job.walks.corpus = {};
  EXPECT_THROW(run(job), UsageError);
}

}  // namespace
}  // namespace tessera::pipeline
