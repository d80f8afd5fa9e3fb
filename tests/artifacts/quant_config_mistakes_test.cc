// Every mistake in a configuration is refused with a message that names file, line and remedy.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifacts/quant_config.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string refusal(const std::string& text) {
  try {
    parse_quant_config(text, "conf.yaml");
  } catch (const BadFileError& error) {
    return error.what();
  }
  return "accepted";
}

struct Mistake {
  const char* name;
  const char* text;
  int line;
  const char* what;
  const char* remedy;
};

class ConfigMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ConfigMistake, IsRefusedNamingFileLineAndRemedy) {
  const auto& mistake = GetParam();
  const auto message = refusal(mistake.text);
  EXPECT_THAT(message, StartsWith(fmt::format("conf.yaml:{}: ", mistake.line)));
  EXPECT_THAT(message, HasSubstr(mistake.what));
  EXPECT_THAT(message, HasSubstr(mistake.remedy));
}

constexpr Mistake kSyntax[] = {
    {"EmptyFile", "", 1, "the file is empty", "give at least one key"},
    {"OnlyComments", "# nothing\n", 1, "the file is empty", "give at least one key"},
    {"UnclosedBracket", "profile: balanced\ncandidates: [Q4_K\n", 3, "no valid YAML", "check brackets"},
    {"UnclosedJson", "{\"profile\": \"balanced\",\n \"target\": {\"bpw\": 2}", 2, "no valid YAML",
     "check brackets"},
    {"WrongIndentation", "target:\n  bpw: 2\n bpw: 3\n", 3, "no valid YAML", "indentation"},
    {"RootIsAList", "- profile\n", 1, "must be a map of keys", "key: value"},
    {"RootIsAWord", "balanced\n", 1, "must be a map of keys", "key: value"},
    {"UnknownKey", "target: {bpw: 3}\n\nprofle: balanced\n", 3, "unknown key 'profle'",
     "did you mean 'profile'?"},
    {"UnknownKeyFarFromAll", "colour: red\n", 1, "unknown key 'colour'", "known: profile, target"},
    {"DuplicateKey", "profile: balanced\nprofile: attention-high\n", 2,
     "'profile' stands twice, here and in line 1", "remove one"},
    {"DuplicateKeyInJson", "{\"profile\": \"balanced\",\n\"profile\": \"balanced\"}", 2, "stands twice",
     "remove one"},
    {"DuplicateKeyOfARule", "rules:\n  - min: 3\n    roles: ffn\n    min: 4\n", 4, "'min' stands twice",
     "remove one"},
    {"ListAsKey", "? [a, b]\n: 3\n", 1, "a key must be a word", "must be"},
    {"Anchor", "profile: &x balanced\n", 1, "anchors and aliases", "write the value out"},
    {"UnquotedGlob", "exclude: [*.weight]\n", 1, "anchors and aliases", "quotation marks"},
    {"Tag", "profile: !!str balanced\n", 1, "tags", "remove it"},
    {"SecondDocument", "profile: balanced\n---\nprofile: balanced\n", 3, "second document", "single"},
};

constexpr Mistake kKinds[] = {
    {"ProfileWithoutValue", "profile:\n", 1, "'profile' must be a single value, and is nothing",
     "single value"},
    {"ProfileIsAList", "profile: [balanced]\n", 1, "and is a list", "single value"},
    {"UnknownProfile", "\nprofile: balance\n", 2, "unknown profile 'balance'", "did you mean 'balanced'?"},
    {"ProfileIsAFile", "profile: ./mine.yaml\n", 1, "unknown profile", "known: attention-high"},
    {"UnknownSensitivity", "sensitivity: fischer\n", 1, "unknown sensitivity 'fischer'",
     "did you mean 'fisher'?"},
    {"CandidatesIsAMap", "candidates: {a: b}\n", 1, "must be a single value, and is a map", "single value"},
    {"NoCandidates", "candidates: []\n", 1, "'candidates' is empty", "list the types"},
    {"RepeatedCandidate", "candidates: [Q4_K,\n  q4_k]\n", 2, "candidate Q4_K stands twice", "remove one"},
    {"UnknownCandidate", "candidates: [Q4_K_M]\n", 1, "unknown tensor type 'Q4_K_M'", "did you mean 'Q4_K'?"},
    {"IntegerCandidate", "candidates: [I8]\n", 1, "I8 is no type for weights", "Q4_K"},
    {"RulesIsAMap", "rules: {roles: ffn, min: 3}\n", 1, "'rules' must be a list", "[a, b]"},
    {"RuleIsAWord", "rules:\n  - ffn\n", 2, "must be a map of keys", "key: value"},
    {"ExcludeHoldsAMap", "exclude:\n  - {tensors: a}\n", 2, "and is a map", "single value"},
    {"ImatrixIsAList", "imatrix: [a, b]\n", 1, "and is a list", "single value"},
};

constexpr Mistake kTargets[] = {
    {"TwoTargets", "target:\n  bpw: 2\n  size: 1GiB\n", 2, "target has several values", "give one of"},
    {"NoTarget", "target: {}\n", 1, "target has no values", "give one of"},
    {"TargetIsANumber", "target: 2.5\n", 1, "must be a map of keys", "key: value"},
    {"UnknownTarget", "target: {bits: 2}\n", 1, "unknown key 'bits'", "known: bpw, size, compression"},
    {"NegativeBits", "target: {bpw: -2}\n", 1, "above 0", "and is -2"},
    {"ZeroBits", "target: {bpw: 0}\n", 1, "above 0", "and is 0"},
    {"NanBits", "target: {bpw: nan}\n", 1, "must be a number, and is 'nan'", "must be a number"},
    {"YamlNanBits", "target: {bpw: .nan}\n", 1, "must be a number, and is '.nan'", "must be a number"},
    {"InfiniteBits", "target: {bpw: 1e999}\n", 1, "must be a number", "must be a number"},
    {"HugeBits", "target: {bpw: 64}\n", 1, "at most 32", "and is 64"},
    {"BitsInQuotes", "target: {bpw: \"2.5\"}\n", 1, "must be a number", "must be a number"},
    {"ListOfBits", "target:\n  bpw: [2, 3]\n", 2, "and is a list", "single value"},
    {"CompressionOfAll", "target: {compression: 100}\n", 1, "above 0 and below 100", "percentage"},
    {"CompressionOfNothing", "target: {compression: 0}\n", 1, "above 0 and below 100", "percentage"},
    {"CompressionWithSign", "target: {compression: 82%}\n", 1, "must be a number, and is '82%'",
     "must be a number"},
    {"SizeInUnknownUnit", "target: {size: 3 boxes}\n", 1, "'3 boxes' is no size", "3.5GiB"},
    {"SizeWithoutNumber", "target: {size: GiB}\n", 1, "is no size", "3.5GiB"},
    {"ZeroSize", "target: {size: 0}\n", 1, "is no size", "3.5GiB"},
    {"NegativeSize", "target: {size: -1GiB}\n", 1, "is no size", "3.5GiB"},
    {"SizeBeyondAllFiles", "target: {size: 1e30TiB}\n", 1, "is no size", "3.5GiB"},
};

constexpr Mistake kRules[] = {
    {"EmptyRule", "rules:\n  - {roles: ffn, min: 3}\n  - {}\n", 3, "the rule is empty", "give it a type"},
    {"NoEffect", "rules:\n  - roles: ffn\n", 2, "no effect", "give it a type, min, max or keep"},
    {"KeepFalse", "rules:\n  - {roles: ffn, keep: false}\n", 2, "no effect", "remove it"},
    {"KeepIsNoFlag", "rules:\n  - {roles: ffn, keep: yes please}\n", 2, "must be true or false",
     "true or false"},
    {"UnknownRuleKey", "rules:\n  - {rolse: ffn, min: 3}\n", 2, "unknown key 'rolse'",
     "did you mean 'roles'?"},
    {"UnknownRole", "rules:\n  - roles: [ffn,\n      attn_w]\n    min: 3\n", 3, "unknown role 'attn_w'",
     "did you mean 'attn_"},
    {"UnknownExperts", "rules:\n  - {experts: rooted, min: 3}\n", 2, "unknown kind of experts 'rooted'",
     "did you mean 'routed'?"},
    {"UnknownModels", "rules:\n  - {models: mode, min: 3}\n", 2, "unknown kind of models 'mode'",
     "did you mean 'moe'?"},
    {"UnknownType", "rules:\n  - {roles: ffn, type: Q9}\n", 2, "unknown tensor type 'Q9'", "known: F32"},
    {"IntegerType", "rules:\n  - {roles: ffn, type: I32}\n", 2, "no type for weights", "Q4_K"},
    {"TypeIsANumber", "rules:\n  - {roles: ffn, type: 4}\n", 2, "unknown tensor type '4'", "known: F32"},
    {"UnknownMin", "rules:\n  - {roles: ffn, min: low}\n", 2, "a number of bits per weight or a tensor type",
     "such as Q4_K"},
    {"IntegerTypeAsMin", "rules:\n  - {roles: ffn, min: I16}\n", 2, "no type for weights", "Q4_K"},
    {"ZeroMin", "rules:\n  - {roles: ffn, min: 0}\n", 2, "above 0", "and is 0"},
    {"NegativeMax", "rules:\n  - {roles: ffn, max: -4}\n", 2, "above 0", "and is -4"},
    {"MinAboveMax", "rules:\n  - {roles: ffn, min: Q6_K, max: 4}\n", 2, "is above max (4)", "exchange them"},
    {"TypeAndKeep", "rules:\n  - {roles: ffn, type: Q4_K, keep: true}\n", 2, "both type and keep",
     "remove one"},
    {"TypeAndMin", "rules:\n  - {roles: ffn, type: Q4_K, min: 3}\n", 2, "both a type and limits",
     "remove one"},
    {"KeepAndMax", "rules:\n  - {roles: ffn, keep: true, max: 3}\n", 2, "both keep and limits", "remove one"},
    {"ReversedLayers", "rules:\n  - {layers: 5-2, min: 3}\n", 2, "'5-2' is reversed", "write 2-5"},
    {"FirstZero", "rules:\n  - {layers: first 0, min: 3}\n", 2, "selects no layer", "write 1 or more"},
    {"LastOfNothing", "rules:\n  - {layers: last, min: 3}\n", 2, "'last' names no layers", "'last N'"},
    {"NegativeLayer", "rules:\n  - {layers: -1, min: 3}\n", 2, "names no layers", "'last N'"},
    {"LayersWithDots", "rules:\n  - {layers: 0..2, min: 3}\n", 2, "names no layers", "a range (0-2)"},
    {"LayerBeyondAllModels", "rules:\n  - {layers: 99999999999, min: 3}\n", 2, "names no layers",
     "a number (5)"},
    {"NoLayers", "rules:\n  - {layers: [], min: 3}\n", 2, "'layers' is empty", "list something"},
    {"NoTensors", "rules:\n  - {tensors: [], min: 3}\n", 2, "'tensors' is empty", "list something"},
    {"EmptyTensorName", "rules:\n  - {tensors: [\"\"], min: 3}\n", 2, "and is empty", "single value"},
    {"LimitsThatNoCandidateMeets", "candidates: [Q2_K, Q8_0]\nrules:\n  - {roles: ffn, min: 4, max: 5}\n", 3,
     "none of the candidates has between 4 and 5", "add a candidate"},
    {"OneNamePinnedTwice",
     "rules:\n  - {tensors: [a.weight, output.weight], type: Q6_K}\n  - {tensors: output.weight, type: "
     "Q4_K}\n",
     3, "contradicts type: Q6_K at conf.yaml:2", "remove one of the two rules"},
    {"OneSelectionPinnedTwice",
     "rules:\n  - {roles: ffn, layers: last 2, type: Q6_K}\n  - {roles: ffn, layers: last 2, type: Q4_K}\n",
     3, "contradicts type: Q6_K at conf.yaml:2", "remove one"},
    {"PinnedAndExcluded", "exclude: [output.weight]\nrules:\n  - {tensors: output.weight, type: Q4_K}\n", 1,
     "contradicts type: Q4_K at conf.yaml:3", "remove one"},
};

std::string name_of_case(const testing::TestParamInfo<Mistake>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Syntax, ConfigMistake, testing::ValuesIn(kSyntax), name_of_case);
INSTANTIATE_TEST_SUITE_P(Kinds, ConfigMistake, testing::ValuesIn(kKinds), name_of_case);
INSTANTIATE_TEST_SUITE_P(Targets, ConfigMistake, testing::ValuesIn(kTargets), name_of_case);
INSTANTIATE_TEST_SUITE_P(Rules, ConfigMistake, testing::ValuesIn(kRules), name_of_case);

TEST(HostileConfig, DeepNestingIsRefusedBeforeItExhaustsTheStack) {
  for (const char* bracket : {"[", "{a: ", "- ", "? "}) {
    std::string text = "rules: ";
    if (bracket[0] == '-' || bracket[0] == '?') text = "";
    for (int i = 0; i < 100'000; ++i) text += bracket;
    EXPECT_THAT(refusal(text), HasSubstr("nested more than 16 levels deep")) << bracket;
  }
}

TEST(HostileConfig, TooLargeAFileIsRefusedUnread) {
  EXPECT_THAT(refusal(std::string(2 << 20, '#')), HasSubstr("more than the 1048576"));
}

TEST(HostileConfig, TooManyValuesAreRefused) {
  std::string text = "exclude: [";
  for (int i = 0; i < 200'000; ++i) text += "a,";
  EXPECT_THAT(refusal(text + "]"), HasSubstr("more than 100000 values"));
}

TEST(HostileConfig, TooManyRulesAreRefusedBeforeTheyAreCompared) {
  std::string text = "exclude: [";
  for (int i = 0; i < 90'000; ++i) text += "a,";
  EXPECT_THAT(refusal(text + "]"), HasSubstr("more than 5000 rules and exclusions"));
}

TEST(HostileConfig, MultiplyingAliasesAreRefused) {
  std::string text = "a: &a [x, x, x, x, x, x, x, x]\n";
  for (char name = 'b'; name < 'k'; ++name) {
    text += fmt::format("{}: &{} [*{}, *{}, *{}, *{}]\n", name, name, name - 1, name - 1, name - 1, name - 1);
  }
  EXPECT_THAT(refusal(text), HasSubstr("conf.yaml:1: anchors"));
}

TEST(HostileConfig, BinaryFilesAreRefused) {
  EXPECT_THAT(refusal(std::string("GGUF\0\0\3", 7)), HasSubstr("it is no text"));
}

TEST(HostileConfig, ControlCharactersDoNotReachTheMessage) {
  EXPECT_THAT(refusal("\"\\e[31mred\": 1\n"), HasSubstr("unknown key '\\x1B[31mred'"));
}

}  // namespace
}  // namespace tessera
