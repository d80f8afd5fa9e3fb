// What dynamic quantization refuses, all of it before tokens or weights are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foundation/base/error.h"
#include "pipeline/dynamic_run.h"

namespace tessera::pipeline {
namespace {

using tessera::testing::kDemoText;
using tessera::testing::write_model;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

using Kind = SizeTarget::Kind;

class RefusedDynamicQuantization : public tessera::testing::DynamicRun {};

TEST_F(RefusedDynamicQuantization, TakesNoImportanceFromModelsThatItCannotWalk) {
  write_model(folder_ / "small.gguf");
  auto job = settings({Kind::bits_per_weight, 3});
  job.model = folder_ / "small.gguf";
  EXPECT_THROW(run(job), BadFileError);
  EXPECT_FALSE(has_walked());
  EXPECT_THAT(folder_.names(), ElementsAre("small.gguf"));
}

TEST_F(RefusedDynamicQuantization, EvaluatesNoModelsThatItCannotWalk) {
  write_model(folder_ / "small.gguf");
  auto job = settings({Kind::bits_per_weight, 5});
  job.model = folder_ / "small.gguf";
  job.walks.corpus = {};
  job.evaluation.files = {{kDemoText}};
  EXPECT_THROW(run(job), BadFileError);
  EXPECT_FALSE(has_walked());
  EXPECT_THAT(folder_.names(), ElementsAre("small.gguf"));
}

TEST_F(RefusedDynamicQuantization, IsOfQuantizedModels) {
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

TEST_F(RefusedDynamicQuantization, NamesTheLineThatAsksForATargetThatCannotBeReached) {
  auto job = settings({Kind::bits_per_weight, 0.5});
  job.dynamic->target_place = SourceLine{"conf.yaml", 7};
  EXPECT_THAT([&] { run(job); },
              ThrowsMessage<BadFileError>(AllOf(HasSubstr("conf.yaml:7"), HasSubstr("cannot be reached"))));
  EXPECT_FALSE(has_walked());
}

TEST_F(RefusedDynamicQuantization, IsToTargetsThatCannotBeReached) {
  for (const auto target : {SizeTarget{Kind::bits_per_weight, 1.5}, SizeTarget{Kind::file_bytes, 500'000},
                            SizeTarget{Kind::compression, 95}}) {
    EXPECT_THAT([&] { run(settings(target)); },
                ThrowsMessage<UsageError>(AllOf(HasSubstr("cannot be reached"), HasSubstr("the least"))));
  }
  EXPECT_FALSE(has_walked());
}

TEST_F(RefusedDynamicQuantization, IsUnderRulesThatMatchNothingOrContradict) {
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

TEST_F(RefusedDynamicQuantization, IsByMethodsThatNeedTextsWithoutTexts) {
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

TEST_F(RefusedDynamicQuantization, IsByGradientsOfMixturesOfExperts) {
  auto job = settings({Kind::bits_per_weight, 8});
  job.model = TESSERA_TESTDATA "/forward/qwen3-moe";
  job.dynamic->sensitivity = SensitivityMethod::fisher;
  EXPECT_THAT([&] { run(job); }, ThrowsMessage<UsageError>(HasSubstr("--sensitivity measured does without")));
  EXPECT_FALSE(has_walked());
}

TEST_F(RefusedDynamicQuantization, IsFromFilesThatAreNotThereAndToPlacesWithoutAFolder) {
  auto job = settings();
  job.output = folder_ / "absent/out.gguf";
  EXPECT_THROW(run(job), UsageError);
  job = settings();
  job.walks.corpus.files.push_back({folder_ / "absent.txt"});
  EXPECT_THROW(run(job), BadFileError);
  EXPECT_FALSE(has_walked());
  EXPECT_THAT(folder_.names(), IsEmpty());
}

}  // namespace
}  // namespace tessera::pipeline
