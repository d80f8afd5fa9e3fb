#include "artifacts/quant_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "foundation/base/error.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using enum ElementType;

constexpr const char* kYaml = R"(profile: attention-high
target: {compression: 82}
imatrix: im.gguf
data: [books.txt, /texts/wiki.txt]
sensitivity: measured
candidates: [Q8_0, IQ2_XXS, Q4_K]
rules:
  - {tensors: ["blk.*.attn_v.weight", output.weight], layers: [0-2, 7, first 1, last 3], roles: [attn_v, ffn], type: q6_k}
  - {experts: routed, models: moe, min: 2.5, max: Q4_K}
exclude: [token_embd.weight, "blk.0.*"]
)";

constexpr const char* kJson = R"({"profile":"attention-high","target":{"compression":82},"imatrix":"im.gguf",
  "data":["books.txt","/texts/wiki.txt"],"sensitivity":"measured","candidates":["Q8_0","IQ2_XXS","Q4_K"],
  "rules":[
    {"tensors":["blk.*.attn_v.weight","output.weight"],"layers":["0-2",7,"first 1","last 3"],"roles":["attn_v","ffn"],"type":"q6_k"},
    {"experts":"routed","models":"moe","min":2.5,"max":"Q4_K"}],
  "exclude":["token_embd.weight","blk.0.*"]})";

class EveryKey : public testing::TestWithParam<const char*> {};

TEST_P(EveryKey, IsRead) {
  const auto config = parse_quant_config(GetParam(), "there/conf");
  const std::size_t own = find_profile("attention-high").rules.size();
  EXPECT_EQ(config.policy.profile, "attention-high");
  ASSERT_TRUE(config.target.has_value());
  EXPECT_EQ(config.target->kind, SizeTarget::Kind::compression);
  EXPECT_EQ(config.target->value, 82);
  EXPECT_EQ(config.imatrix, "there/im.gguf");
  EXPECT_THAT(config.data, ElementsAre("there/books.txt", "/texts/wiki.txt"));
  EXPECT_EQ(config.sensitivity, SensitivityMethod::measured);
  EXPECT_THAT(config.policy.candidates, ElementsAre(IQ2_XXS, Q4_K, Q8_0));
  ASSERT_EQ(config.policy.rules.size(), own + 4);
  const auto& first = config.policy.rules[own];
  EXPECT_THAT(first.selector.tensors, ElementsAre("blk.*.attn_v.weight", "output.weight"));
  using From = LayerSelection::From;
  EXPECT_THAT(first.selector.layers,
              ElementsAre(LayerSelection{From::number, 0, 2}, LayerSelection{From::number, 7, 7},
                          LayerSelection{From::first, 0, 1}, LayerSelection{From::last, 0, 3}));
  using enum model::TensorRole;
  EXPECT_THAT(first.selector.roles, ElementsAre(attention_value, ffn_gate, ffn_up, ffn_down));
  EXPECT_EQ(first.type, Q6_K);
  const auto& second = config.policy.rules[own + 1];
  EXPECT_EQ(second.selector.experts, ExpertKind::routed);
  EXPECT_EQ(second.models, ModelKind::moe);
  EXPECT_EQ(second.min_bits, 2.5);
  EXPECT_EQ(second.max_bits, 4.5);
  EXPECT_TRUE(config.policy.rules[own + 2].keep);
  EXPECT_THAT(config.policy.rules[own + 3].selector.tensors, ElementsAre("blk.0.*"));
}
INSTANTIATE_TEST_SUITE_P(InBothForms, EveryKey, testing::Values(kYaml, kJson));

TEST(QuantConfig, RulesAndTargetKnowTheirLines) {
  const auto config = parse_quant_config(kYaml, "conf.yaml");
  EXPECT_EQ(config.target_place->text(), "conf.yaml:2");
  const auto& rules = config.policy.rules;
  EXPECT_EQ(rules[rules.size() - 4].place.text(), "conf.yaml:8");
  EXPECT_EQ(rules[rules.size() - 1].place.text(), "conf.yaml:10");
  EXPECT_FALSE(rules.back().place.built_in);
  EXPECT_TRUE(rules.front().place.built_in);
  EXPECT_THAT(rules.front().place.text(), HasSubstr("profile balanced:"));
}

TEST(QuantConfig, WithoutAProfileItExtendsTheDefault) {
  const auto config = parse_quant_config("target: {bpw: 2.5}\n", "c");
  EXPECT_EQ(config.policy.profile, kDefaultProfile);
  EXPECT_EQ(config.policy.candidates, find_profile(kDefaultProfile).candidates);
  EXPECT_FALSE(config.imatrix || config.sensitivity);
}

TEST(QuantConfig, TheProfileAppliesFirstWhereverItStands) {
  const auto config = parse_quant_config("exclude: [a]\nrules: [{min: 2}]\nprofile: attention-high\n", "c");
  const auto& rules = config.policy.rules;
  ASSERT_EQ(rules.size(), find_profile("attention-high").rules.size() + 2);
  EXPECT_EQ(rules[rules.size() - 2].min_bits, 2);
  EXPECT_TRUE(rules.back().keep);
}

TEST(QuantConfig, ASingleItemStandsForAListOfOne) {
  const auto config = parse_quant_config("data: a.txt\ncandidates: Q4_K\nexclude: output.weight\n", "c");
  EXPECT_THAT(config.data, ElementsAre("a.txt"));
  EXPECT_THAT(config.policy.candidates, ElementsAre(Q4_K));
  EXPECT_TRUE(config.policy.rules.back().keep);
}

TEST(QuantConfig, AFileIsReadAndNamed) {
  const auto path = std::filesystem::path(testing::TempDir()) / "tessera_quant_config.yaml";
  std::ofstream(path) << "profile: balanced\ntarget: {bpw: x}\n";
  try {
    read_quant_config(path);
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("tessera_quant_config.yaml:2: 'bpw' must be a number"));
  }
  std::filesystem::remove(path);
}

TEST(QuantConfig, AMissingFileIsABadFile) {
  EXPECT_THROW(read_quant_config("/nowhere/conf.yaml"), BadFileError);
}

TEST(ByteSize, UnitsArePowersOf1024Or1000) {
  EXPECT_EQ(parse_byte_size("12345"), 12345u);
  EXPECT_EQ(parse_byte_size("1B"), 1u);
  EXPECT_EQ(parse_byte_size("2kb"), 2000u);
  EXPECT_EQ(parse_byte_size("900MB"), 900'000'000u);
  EXPECT_EQ(parse_byte_size("900M"), 900'000'000u);
  EXPECT_EQ(parse_byte_size("1.5 KiB"), 1536u);
  EXPECT_EQ(parse_byte_size("3.5GiB"), 3'758'096'384u);
  EXPECT_EQ(parse_byte_size("1TiB"), std::uint64_t{1} << 40);
}

TEST(ByteSize, WhatIsNoSizeIsRefused) {
  for (const char* text :
       {"", "GiB", "-1", "0", "0.2", "1 2", "nan", "inf", "1e99", "3.5GiBs", "1,5GiB", "MB3"}) {
    EXPECT_THROW(parse_byte_size(text), UsageError) << text;
  }
}

TEST(SizeTarget, IsSpelledWithItsUnit) {
  EXPECT_EQ(text_of({SizeTarget::Kind::bits_per_weight, 2.5}), "2.5 bits per weight");
  EXPECT_EQ(text_of({SizeTarget::Kind::file_bytes, 3'758'096'384.0}), "3758096384 bytes");
  EXPECT_EQ(text_of({SizeTarget::Kind::compression, 82}), "82 % saved");
}

std::vector<EmbeddedFile> profiles_of(std::string_view first, std::string_view second) {
  return {{"one.yaml", first}, {"two.yaml", second}};
}

std::string profile_refusal(const std::vector<EmbeddedFile>& files) {
  try {
    resolve_profile("one", files);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Profiles, AllThatComeWithTesseraAreValid) {
  const auto profiles = built_in_profiles();
  std::vector<std::string> names;
  for (const auto& profile : profiles) names.push_back(profile.profile);
  EXPECT_THAT(names, ElementsAre("attention-high", "balanced", "compression-max"));
  for (const auto& profile : profiles) {
    EXPECT_FALSE(profile.about.empty());
    EXPECT_GE(profile.candidates.size(), 10u);
    EXPECT_FALSE(profile.rules.empty());
  }
}

TEST(Profiles, AnUnknownNameListsTheKnownOnes) {
  try {
    find_profile("attention-hi");
    FAIL() << "accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'attention-high'?"));
    EXPECT_THAT(error.what(), HasSubstr("known: attention-high, balanced, compression-max"));
  }
}

TEST(Profiles, AnExtensionKeepsTheCandidatesAndAddsItsRulesAfter) {
  const auto policy = resolve_profile(
      "two", profiles_of("name: one\nabout: a\ncandidates: [Q4_K, Q2_K]\nrules: [{min: 2}]\n",
                         "name: two\nabout: b\nextends: one\nrules: [{roles: ffn, max: 4}]\n"));
  EXPECT_EQ(policy.profile, "two");
  EXPECT_EQ(policy.about, "b");
  EXPECT_THAT(policy.candidates, ElementsAre(Q2_K, Q4_K));
  ASSERT_EQ(policy.rules.size(), 2u);
  EXPECT_EQ(policy.rules[0].place.text(), "profile one:4");
  EXPECT_EQ(policy.rules[1].max_bits, 4);
}

TEST(Profiles, AnExtensionMayNameOtherCandidates) {
  const auto policy =
      resolve_profile("two", profiles_of("name: one\nabout: a\ncandidates: [Q4_K]\n",
                                         "name: two\nabout: b\nextends: one\ncandidates: Q8_0\n"));
  EXPECT_THAT(policy.candidates, ElementsAre(Q8_0));
}

TEST(Profiles, ACycleIsRefused) {
  EXPECT_THAT(profile_refusal(
                  profiles_of("name: one\nabout: a\nextends: two\n", "name: two\nabout: b\nextends: one\n")),
              HasSubstr("profile two:3: profile 'one' extends itself"));
  EXPECT_THAT(profile_refusal(profiles_of("name: one\nabout: a\nextends: one\n", "")),
              HasSubstr("profile one:3: profile 'one' extends itself"));
}

TEST(Profiles, WhatAProfileLacksIsNamed) {
  EXPECT_THAT(profile_refusal(profiles_of("about: a\ncandidates: Q4_K\n", "")), HasSubstr("lacks 'name'"));
  EXPECT_THAT(profile_refusal(profiles_of("name: one\ncandidates: Q4_K\n", "")), HasSubstr("lacks 'about'"));
  EXPECT_THAT(profile_refusal(profiles_of("name: one\nabout: a\n", "")), HasSubstr("no candidates"));
  EXPECT_THAT(profile_refusal(profiles_of("name: two\nabout: a\ncandidates: Q4_K\n", "")),
              HasSubstr("called after its profile"));
  EXPECT_THAT(profile_refusal(profiles_of("name: one\nabout: a\nextends: three\n", "")),
              HasSubstr("unknown profile 'three'"));
  EXPECT_THAT(profile_refusal(profiles_of("name: one\nabout: a\ntarget: {bpw: 2}\n", "")),
              HasSubstr("unknown key 'target'"));
}

}  // namespace
}  // namespace tessera
