#include "artifacts/tensor_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifacts/quant_config.h"
#include "foundation/base/error.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using enum ElementType;

constexpr std::uint32_t kLayers = 8;

/// The rules of this text, without those of the profile.
std::vector<TensorRule> rules_of(const std::string& text) {
  const auto config = parse_quant_config(text, "conf.yaml");
  std::vector<TensorRule> rules;
  for (const auto& rule : config.policy.rules) {
    if (!rule.place.built_in) rules.push_back(rule);
  }
  return rules;
}

bool selects(const std::string& selectors, std::string_view tensor) {
  return rules_of("rules: [{" + selectors + ", min: 3}]").front().selector.selects(tensor, kLayers);
}

TensorLimits limits(const std::string& rules, std::string_view tensor = "blk.0.attn_q.weight") {
  return limits_of(rules_of("rules:\n" + rules), tensor, kLayers);
}

TEST(TensorSelector, WithoutSelectorsItTakesAll) {
  EXPECT_TRUE(TensorSelector{}.selects("blk.3.attn_q.weight", kLayers));
  EXPECT_TRUE(TensorSelector{}.selects("output.weight", kLayers));
}

TEST(TensorSelector, AnExactNameIsThatTensorOnly) {
  EXPECT_TRUE(selects("tensors: blk.1.attn_q.weight", "blk.1.attn_q.weight"));
  EXPECT_FALSE(selects("tensors: blk.1.attn_q.weight", "blk.11.attn_q.weight"));
  EXPECT_FALSE(selects("tensors: blk.1.attn_q.weight", "blk.1.attn_qxweight"));
}

TEST(TensorRules, ATiedEmbeddingIsAnOutputToo) {
  const auto rules =
      with_tied_output(rules_of("rules:\n  - {roles: output, min: 5}\n  - {roles: attn_q, min: 3}\n"));
  EXPECT_EQ(limits_of(rules, "token_embd.weight", kLayers).min_bits, 5);
  EXPECT_EQ(limits_of(rules, "blk.0.attn_q.weight", kLayers).min_bits, 3);
  EXPECT_EQ(limits_of(rules, "blk.0.attn_k.weight", kLayers).min_bits, 0);
}

TEST(ExpertKind, IsReadFromTheNameOfAFeedForwardTensor) {
  EXPECT_EQ(expert_kind_of("blk.3.ffn_down_exps.weight"), ExpertKind::routed);
  EXPECT_EQ(expert_kind_of("blk.3.ffn_up_shexp.weight"), ExpertKind::shared);
  EXPECT_EQ(expert_kind_of("blk.3.ffn_gate.weight"), ExpertKind::dense);
  EXPECT_EQ(expert_kind_of("blk.3.attn_q.weight"), std::nullopt);
  EXPECT_EQ(expert_kind_of("blk.3.ffn_gate_inp.weight"), std::nullopt);
}

TEST(TensorSelector, AttentionIsLatentAttentionToo) {
  EXPECT_TRUE(selects("roles: attention", "blk.3.attn_q_a.weight"));
  EXPECT_TRUE(selects("roles: attention", "blk.3.attn_kv_b.weight"));
  EXPECT_TRUE(selects("roles: attn_latent", "blk.3.attn_kv_a_mqa.weight"));
  EXPECT_FALSE(selects("roles: attn_latent", "blk.3.attn_kv_b.weight"));
}

TEST(TensorSelector, GlobsMatchWholeNames) {
  EXPECT_TRUE(selects("tensors: blk.1.*", "blk.1.attn_q.weight"));
  EXPECT_FALSE(selects("tensors: blk.1.*", "blk.11.attn_q.weight"));
  EXPECT_TRUE(selects("tensors: \"blk.?.attn_?.weight\"", "blk.7.attn_v.weight"));
  EXPECT_FALSE(selects("tensors: \"blk.?.attn_?.weight\"", "blk.17.attn_v.weight"));
  EXPECT_TRUE(selects("tensors: \"*attn*weight\"", "blk.7.attn_v.weight"));
  EXPECT_FALSE(selects("tensors: \"*attn*weigh\"", "blk.7.attn_v.weight"));
  EXPECT_TRUE(selects("tensors: \"**\"", "output.weight"));
  EXPECT_FALSE(selects("tensors: \"?\"", ""));
}

TEST(TensorSelector, LayersAreRangesOrCountsFromEitherEnd) {
  EXPECT_TRUE(selects("layers: 2-4", "blk.2.attn_q.weight"));
  EXPECT_TRUE(selects("layers: 2-4", "blk.4.attn_q.weight"));
  EXPECT_FALSE(selects("layers: 2-4", "blk.5.attn_q.weight"));
  EXPECT_TRUE(selects("layers: 5", "blk.5.attn_q.weight"));
  EXPECT_FALSE(selects("layers: 5", "blk.6.attn_q.weight"));
  EXPECT_TRUE(selects("layers: first 2", "blk.1.attn_q.weight"));
  EXPECT_FALSE(selects("layers: first 2", "blk.2.attn_q.weight"));
  EXPECT_TRUE(selects("layers: last 3", "blk.5.attn_q.weight"));
  EXPECT_FALSE(selects("layers: last 3", "blk.4.attn_q.weight"));
  EXPECT_TRUE(selects("layers: last 99", "blk.0.attn_q.weight"));
  EXPECT_FALSE(selects("layers: first 99", "output.weight"));
}

TEST(TensorSelector, RolesMayBeGroups) {
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output"}) {
    EXPECT_TRUE(selects("roles: attention", std::string("blk.0.") + name + ".weight")) << name;
    EXPECT_FALSE(selects("roles: ffn", std::string("blk.0.") + name + ".weight")) << name;
  }
  for (const char* name : {"ffn_gate", "ffn_up", "ffn_down", "ffn_down_exps", "ffn_up_shexp"}) {
    EXPECT_TRUE(selects("roles: ffn", std::string("blk.0.") + name + ".weight")) << name;
  }
  EXPECT_FALSE(selects("roles: attention", "blk.0.attn_norm.weight"));
  EXPECT_TRUE(selects("roles: [output, attn_v]", "output.weight"));
}

TEST(TensorSelector, ExpertsAreOfFeedForwardTensors) {
  EXPECT_TRUE(selects("experts: routed", "blk.0.ffn_up_exps.weight"));
  EXPECT_TRUE(selects("experts: shared", "blk.0.ffn_up_shexp.weight"));
  EXPECT_TRUE(selects("experts: dense", "blk.0.ffn_up.weight"));
  EXPECT_FALSE(selects("experts: dense", "blk.0.ffn_up_exps.weight"));
  EXPECT_FALSE(selects("experts: routed", "blk.0.ffn_up.weight"));
  EXPECT_FALSE(selects("experts: dense", "blk.0.attn_q.weight"));
  EXPECT_FALSE(selects("experts: dense", "blk.0.ffn_gate_inp.weight"));
}

TEST(TensorSelector, AllSelectorsMustHold) {
  const std::string both = "roles: attn_v, layers: first 2";
  EXPECT_TRUE(selects(both, "blk.1.attn_v.weight"));
  EXPECT_FALSE(selects(both, "blk.1.attn_q.weight"));
  EXPECT_FALSE(selects(both, "blk.2.attn_v.weight"));
}

TEST(TensorRules, RulesForTheOtherKindOfModelFallAway) {
  const auto rules = rules_of("rules: [{min: 3}, {models: moe, max: 5}, {models: dense, max: 6}]");
  const auto dense = limits_of(rules_for(rules, ModelKind::dense), "output.weight", kLayers);
  EXPECT_EQ(dense.min_bits, 3);
  EXPECT_EQ(dense.max_bits, 6);
  EXPECT_EQ(limits_of(rules_for(rules, ModelKind::moe), "output.weight", kLayers).max_bits, 5);
}

TEST(TensorLimits, WithoutRulesAllIsAllowed) {
  const auto all = limits_of({}, "output.weight", kLayers);
  EXPECT_FALSE(all.type || all.keep || all.pinned_by);
  EXPECT_TRUE(all.allows(IQ1_S));
  EXPECT_TRUE(all.allows(F32));
}

TEST(TensorLimits, ALaterLimitReplacesTheSameLimitOnly) {
  const auto both = limits("  - {min: 3, max: 6}\n  - {roles: attention, min: 4}\n");
  EXPECT_EQ(both.min_bits, 4);
  EXPECT_EQ(both.max_bits, 6);
  EXPECT_EQ(both.min_by->text(), "conf.yaml:3");
  EXPECT_EQ(both.max_by->text(), "conf.yaml:2");
}

TEST(TensorLimits, LimitsIncludeTheirTypes) {
  const auto both = limits("  - {min: Q3_K, max: Q4_K}\n");
  EXPECT_TRUE(both.allows(Q3_K));
  EXPECT_TRUE(both.allows(Q4_K));
  EXPECT_FALSE(both.allows(Q2_K));
  EXPECT_FALSE(both.allows(Q5_K));
}

TEST(TensorLimits, ALaterTypeReplacesLimitsAndKeep) {
  const auto pinned =
      limits("  - {min: 3, max: 6}\n  - {layers: 0, keep: true}\n  - {roles: attention, type: Q8_0}\n");
  EXPECT_EQ(pinned.type, Q8_0);
  EXPECT_FALSE(pinned.keep);
  EXPECT_EQ(pinned.pinned_by->line, 4u);
  EXPECT_FALSE(pinned.min_by || pinned.max_by);
  EXPECT_TRUE(pinned.allows(Q8_0));
  EXPECT_FALSE(pinned.allows(Q4_K));
}

TEST(TensorLimits, ALaterLimitReplacesAType) {
  const auto limited = limits("  - {type: Q8_0}\n  - {roles: attention, min: 4}\n");
  EXPECT_FALSE(limited.type || limited.pinned_by);
  EXPECT_EQ(limited.min_bits, 4);
}

TEST(TensorLimits, LimitsDoNotUndoKeep) {
  const auto kept = limits("  - {tensors: blk.0.*, keep: true}\n  - {roles: attention, min: 4}\n");
  EXPECT_TRUE(kept.keep);
  EXPECT_FALSE(kept.allows(F16));
  EXPECT_EQ(kept.pinned_by->line, 2u);
}

TEST(TensorLimits, LimitsOfDifferentRulesThatExcludeEachOtherNameBoth) {
  const std::string rules = "  - {roles: attention, max: 4}\n  - {layers: 0, min: 5}\n";
  try {
    limits(rules);
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("conf.yaml:3: tensor 'blk.0.attn_q.weight'"));
    EXPECT_THAT(error.what(),
                HasSubstr("at least 5 bits per weight (conf.yaml:3) and at most 4 (conf.yaml:2)"));
    EXPECT_THAT(error.what(), HasSubstr("state min and max in one rule"));
  }
  EXPECT_EQ(limits(rules, "blk.1.attn_q.weight").max_bits, 4);
}

TEST(TensorLimits, AgainstAProfileTheUsersLineIsAtFault) {
  const auto config =
      parse_quant_config("profile: attention-high\nrules: [{roles: attention, max: 3}]\n", "c.yaml");
  try {
    limits_of(config.policy.rules, "blk.5.attn_q.weight", kLayers);
    FAIL() << "accepted";
  } catch (const BadFileError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("c.yaml:2: "));
    EXPECT_THAT(error.what(), HasSubstr("(profile attention-high:"));
  }
}

std::string unmatched(const std::string& rules) {
  const std::vector<std::string> names = {"token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_up.weight",
                                          "blk.1.attn_q.weight", "blk.1.ffn_up.weight"};
  try {
    require_matches(rules_of("rules:\n" + rules), names, 2);
  } catch (const BadFileError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(UnmatchedRules, AreRefusedNamingTheLineAndTheNearestTensor) {
  EXPECT_EQ(unmatched("  - {roles: ffn, min: 3}\n  - {tensors: [token_embed.weight], keep: true}\n"),
            "conf.yaml:3: no tensor of the model is called 'token_embed.weight'; did you mean "
            "'token_embd.weight'? (tessera inspect lists the names)");
  EXPECT_THAT(unmatched("  - {tensors: [token_embd.weight, \"blk.*.attn_v.*\"], keep: true}\n"),
              HasSubstr("no tensor of the model matches 'blk.*.attn_v.*'"));
  EXPECT_THAT(unmatched("  - {layers: [0, 2-3], min: 3}\n"),
              HasSubstr("conf.yaml:2: layer 3 is not in the model: it has 2"));
  EXPECT_THAT(unmatched("  - {roles: token_embd, layers: first 1, min: 3}\n"),
              HasSubstr("selects no tensor"));
  EXPECT_THAT(unmatched("  - {experts: routed, min: 3}\n"),
              HasSubstr("conf.yaml:2: the rule selects no tensor"));
}

TEST(UnmatchedRules, RulesThatMatchAreFine) {
  EXPECT_EQ(
      unmatched(
          "  - {tensors: [\"blk.?.ffn_up.*\", token_embd.weight], min: 3}\n  - {layers: last 99, max: 8}\n"),
      "accepted");
}

TEST(UnmatchedRules, ThoseOfProfilesMayMatchNothing) {
  const auto rules = find_profile("compression-max").rules;
  EXPECT_NO_THROW(require_matches(rules, std::vector<std::string>{"blk.0.attn_q.weight"}, 1));
}

TEST(ContradictoryRules, DifferentSelectionsAreDecidedByOrder) {
  EXPECT_NO_THROW(
      rules_of("rules:\n  - {roles: ffn, type: Q4_K}\n  - {roles: ffn, layers: 0, type: Q6_K}\n"));
  EXPECT_NO_THROW(rules_of(
      "rules:\n  - {tensors: blk.0.*, type: Q4_K}\n  - {tensors: blk.0.attn_q.weight, type: Q6_K}\n"));
  EXPECT_NO_THROW(rules_of("rules:\n  - {tensors: a, type: Q4_K}\n  - {tensors: a, type: Q4_K}\n"));
  EXPECT_NO_THROW(rules_of(
      "rules:\n  - {roles: ffn, models: moe, type: Q4_K}\n  - {roles: ffn, models: dense, type: Q6_K}\n"));
}

TEST(RoleNames, AreThoseOfRolesAndGroups) {
  for (const auto name : role_names()) EXPECT_FALSE(roles_named(name).empty()) << name;
  EXPECT_TRUE(roles_named("attn").empty());
}

}  // namespace
}  // namespace tessera
