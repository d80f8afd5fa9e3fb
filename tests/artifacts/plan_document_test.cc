#include "artifacts/plan_document.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifacts/tensor_type_file.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using enum ElementType;

std::vector<TensorDescriptor> model() {
  return {{"token_embd.weight", F16, {64, 512}},
          {"blk.0.attn_norm.weight", F32, {512}},
          {"blk.0.attn_q.weight", F16, {512, 512}},
          {"blk.0.ffn_down.weight", BF16, {512, 96}},
          {"output.weight", F16, {64, 512}}};
}

QuantPlan plan() {
  QuantPlan plan;
  const std::vector<ElementType> types = {IQ3_S, F32, Q4_K, Q8_0, F16};
  const auto tensors = model();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    plan.tensors.push_back({.source = tensors[i],
                            .place = model::place_of(tensors[i].name),
                            .target = types[i],
                            .reason = ChoiceReason::allocated});
  }
  plan.tensors[2].predicted_loss = 0.00125;
  return plan;
}

constexpr const char* kTypes =
    "tensors:\n"
    "  token_embd.weight: IQ3_S\n"
    "  blk.0.attn_q.weight: Q4_K\n"
    "  blk.0.ffn_down.weight: Q8_0\n"
    "  output.weight: F16\n";

TEST(PlanDocument, ListsWhatMayBeQuantizedWithItsFigures) {
  const auto text = to_yaml(plan(), {});
  EXPECT_THAT(text,
              HasSubstr("  blk.0.attn_q.weight: Q4_K  # 4.50 bits per weight, 147456 bytes, loss 0.00125, "
                        "allocated\n"));
  EXPECT_THAT(text, HasSubstr("  output.weight: F16  # 16.00 bits per weight, 65536 bytes, allocated\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("attn_norm")));
}

TEST(PlanDocument, ComesBackAsItWas) {
  PlanHeader header{.model = "C:\\models\\\"small\".gguf",
                    .profile = "balanced",
                    .target = "2.5 bits per weight",
                    .file_bytes = 123456789012,
                    .predicted_loss = 0.0123456789,
                    .sensitivity = SensitivityMethod::measured,
                    .encoder = "feedback sweeps=2 damping=0.02 sequential=true"};
  const auto document = parse_plan(to_yaml(plan(), header), "p.yaml");
  EXPECT_EQ(document.header, header);
  const auto again = apply_plan(document, model());
  ASSERT_EQ(again.tensors.size(), plan().tensors.size());
  for (std::size_t i = 0; i < again.tensors.size(); ++i) {
    EXPECT_EQ(again.tensors[i].source, plan().tensors[i].source);
    EXPECT_EQ(again.tensors[i].target, plan().tensors[i].target);
    EXPECT_EQ(again.tensors[i].place, plan().tensors[i].place);
  }
  EXPECT_EQ(again.tensors[0].reason, ChoiceReason::plan_file);
  EXPECT_EQ(again.tensors[1].reason, ChoiceReason::kept);
}

TEST(PlanDocument, NeedsNoHeader) {
  const auto document = parse_plan(kTypes, "p.yaml");
  EXPECT_EQ(document.header.tessera_version, "");
  EXPECT_EQ(apply_plan(document, model()).tensors[2].target, Q4_K);
}

TEST(PlanDocument, UnusualNamesAreQuoted) {
  for (const std::string name :
       {"a: b.weight", "#1.weight", "x\"y.weight", "1.weight", "é\t.weight", "*.weight"}) {
    QuantPlan one;
    one.tensors.push_back({.source = {name, F16, {4, 256}}, .place = {}, .target = Q4_K});
    const auto document = parse_plan(to_yaml(one, {}), "p.yaml");
    ASSERT_EQ(document.tensors.size(), 1u) << name;
    EXPECT_EQ(document.tensors[0].tensor, name);
  }
}

TEST(PlanDocument, ATensorThatIsNeverQuantizedMayBeListedAsItIs) {
  const auto document = parse_plan(std::string(kTypes) + "  blk.0.attn_norm.weight: F32\n", "p.yaml");
  EXPECT_EQ(apply_plan(document, model()).tensors[1].reason, ChoiceReason::kept);
}

TEST(PlanDocument, IsCalledAfterTheTypeOfMostWeights) {
  const auto applied = apply_plan(parse_plan(kTypes, "p.yaml"), model());
  EXPECT_EQ(applied.recipe, "Q4_K_M");
  EXPECT_EQ(applied.file_type, 15u);
}

TEST(PlanDocument, EveryQuantizedTypeHasANameForItsFile) {
  for (const auto& type : all_element_types()) {
    if (!is_weight_type(type.type)) continue;
    QuantPlan one;
    one.tensors.push_back({.source = {"a.weight", F16, {4, 256}}, .place = {}, .target = type.type});
    name_after_largest_part(one);
    EXPECT_NE(one.recipe, "") << type.name;
  }
}

struct Mistake {
  const char* name;
  std::string text;
  const char* place;
  const char* what;
  const char* remedy;
};

class PlanMistake : public testing::TestWithParam<Mistake> {};

TEST_P(PlanMistake, IsRefusedNamingFileLineAndRemedy) {
  const auto& mistake = GetParam();
  try {
    apply_plan(parse_plan(mistake.text, "p.yaml"), model());
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), StartsWith(fmt::format("{}: ", mistake.place)));
    EXPECT_THAT(error.what(), HasSubstr(mistake.what));
    EXPECT_THAT(error.what(), HasSubstr(mistake.remedy));
  }
}

std::string with(const std::string& line) { return kTypes + ("  " + line + "\n"); }

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kTypes;
  return text.replace(text.find(from), from.size(), to);
}

INSTANTIATE_TEST_SUITE_P(
    Plans, PlanMistake,
    testing::Values(
        Mistake{"UnknownTensor", with("blk.0.attn_qq.weight: Q4_K"), "p.yaml:6",
                "no tensor 'blk.0.attn_qq.weight'", "did you mean 'blk.0.attn_q.weight'?"},
        Mistake{"MissingTensor", replaced("  output.weight: F16\n", ""), "p.yaml:2",
                "no line for tensor 'output.weight'", "add one (output.weight: F16)"},
        Mistake{"TwiceTheSame", with("output.weight: Q4_K"), "p.yaml:6", "stands twice, here and in line 5",
                "remove one"},
        Mistake{"UnknownType", replaced("IQ3_S", "IQ3_SS"), "p.yaml:2", "unknown tensor type 'IQ3_SS'",
                "did you mean 'IQ3_"},
        Mistake{"IntegerType", replaced("IQ3_S", "I8"), "p.yaml:2", "no type for weights", "Q4_K"},
        Mistake{"TypeIsAList", replaced("IQ3_S", "[Q4_K, Q5_K]"), "p.yaml:2", "and is a list",
                "single value"},
        Mistake{"NoType", replaced("IQ3_S", ""), "p.yaml:2", "and is nothing", "single value"},
        Mistake{"RowLengthDoesNotFit", replaced("Q8_0", "Q6_K"), "p.yaml:4",
                "rows have 96 weights, no multiple of 256", "Q8_0 fits"},
        Mistake{"NeverQuantized", with("blk.0.attn_norm.weight: F16"), "p.yaml:6",
                "never quantized and stays F32", "remove the line"},
        Mistake{"NoTensors", "model: a\n", "p.yaml:1", "no 'tensors'", "tessera plan"},
        Mistake{"TensorsAreAList", "tensors: [a, b]\n", "p.yaml:1", "must be a map of keys", "key: value"},
        Mistake{"UnknownKey", "tensor:\n  a: Q4_K\n", "p.yaml:1", "unknown key 'tensor'",
                "did you mean 'tensors'?"},
        Mistake{"WrongBytes", "file_bytes: many\n", "p.yaml:1", "must be a whole number", "whole number"},
        Mistake{"EmptyFile", "", "p.yaml:1", "the file is empty", "at least one key"}),
    [](const auto& mistake) { return mistake.param.name; });

TEST(TensorTypeFile, PatternsAreAnchoredAndEscaped) {
  EXPECT_EQ(to_tensor_type_file(plan()),
            "^token_embd\\.weight$=IQ3_S\n"
            "^blk\\.0\\.attn_q\\.weight$=Q4_K\n"
            "^blk\\.0\\.ffn_down\\.weight$=Q8_0\n"
            "^output\\.weight$=F16\n");
}

TEST(TensorTypeFile, WhatItsListCannotSpellMatchesAnyCharacter) {
  QuantPlan one;
  one.tensors.push_back({.source = {"Mm.0 (x)=.weight", F16, {4, 256}}, .place = {}, .target = Q4_K});
  EXPECT_EQ(to_tensor_type_file(one), "^.m\\.0..x..\\.weight$=Q4_K\n");
}

TEST(TensorTypeFile, ItsFileTypeIsOneThatTakesOverrides) {
  auto some = plan();
  name_after_largest_part(some);
  EXPECT_EQ(llama_quantize_type(some), "Q4_K_M");
  for (const char* unusable : {"F16", "BF16", "F32", "NVFP4", "MXFP4", ""}) {
    some.recipe = unusable;
    EXPECT_EQ(llama_quantize_type(some), "Q8_0") << unusable;
  }
}

}  // namespace
}  // namespace tessera
