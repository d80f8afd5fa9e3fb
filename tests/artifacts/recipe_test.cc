#include "artifacts/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "foundation/base/error.h"

namespace tessera {
namespace {

constexpr const char* kHead = "name: X\nabout: a test\nfile_type: 3\ntype: Q4_K\n";

std::string refusal(const std::string& yaml) {
  try {
    parse_recipe(yaml, "x.yaml");
  } catch (const BadFileError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Recipe, EveryFieldIsRead) {
  const auto recipe = parse_recipe(std::string(kHead) + R"(
aliases: [Y, Z]
needs_imatrix: true
rules:
  - {role: [attn_v, output], layers: ["0..1/8", "1/8..7/8 every 3 from 2", "4.."], min_gqa: 2, experts: 8, min_experts: 4,
     layer_count: 80, stacked: true, imatrix: false, fits: false, architecture: falcon, type: q6_k}
)",
                                   "x.yaml");
  EXPECT_EQ(recipe.aliases, (std::vector<std::string>{"Y", "Z"}));
  EXPECT_TRUE(recipe.needs_imatrix);
  ASSERT_EQ(recipe.rules.size(), 1u);
  const auto& rule = recipe.rules[0];
  EXPECT_EQ(rule.type, ElementType::Q6_K);
  EXPECT_EQ(rule.roles, (std::vector{model::TensorRole::attention_value, model::TensorRole::output}));
  ASSERT_EQ(rule.layers.size(), 3u);
  EXPECT_EQ(rule.layers[1].every, 3u);
  EXPECT_EQ(rule.layers[1].from, 2u);
  EXPECT_EQ(rule.layers[2].begin.resolve(100), 4u);
  EXPECT_FALSE(rule.layers[2].end.has_value());
  EXPECT_EQ(rule.min_gqa, 2u);
  EXPECT_EQ(rule.experts, 8u);
  EXPECT_EQ(rule.min_experts, 4u);
  EXPECT_EQ(rule.layer_count, 80u);
  EXPECT_EQ(rule.stacked, true);
  EXPECT_EQ(rule.imatrix, false);
  EXPECT_EQ(rule.fits, false);
  EXPECT_EQ(rule.architectures, std::vector<std::string>{"falcon"});
}

TEST(Recipe, MistakesAreRefusedByName) {
  using ::testing::HasSubstr;
  const std::string head = kHead;
  EXPECT_THAT(refusal("[1, 2]"), HasSubstr("mapping"));
  EXPECT_THAT(refusal("name: X\n"), HasSubstr("missing key 'about'"));
  EXPECT_THAT(refusal(head + "colour: red\n"), HasSubstr("unknown key 'colour'"));
  EXPECT_THAT(refusal("name: X\nabout: x\nfile_type: 3\ntype: Q9\n"), HasSubstr("unknown tensor type 'Q9'"));
  EXPECT_THAT(refusal(head + "rules:\n  - {role: nose, type: Q4_K}\n"),
              HasSubstr("unknown tensor role 'nose'"));
  EXPECT_THAT(refusal(head + "rules:\n  - {role: output}\n"), HasSubstr("'type'"));
  EXPECT_THAT(refusal(head + "rules:\n  - {when: now, type: Q4_K}\n"),
              HasSubstr("unknown rule condition 'when'"));
  EXPECT_THAT(refusal(head + "rules:\n  - {layers: 5, type: Q4_K}\n"), HasSubstr("BEGIN..END"));
  EXPECT_THAT(refusal(head + "rules:\n  - {layers: a..b, type: Q4_K}\n"), HasSubstr("not a number"));
  EXPECT_THAT(refusal(head + "rules:\n  - {layers: 1/0..2, type: Q4_K}\n"), HasSubstr("zero"));
  EXPECT_THAT(refusal(head + "rules:\n  - {layers: 0..2 every 0 from 0, type: Q4_K}\n"), HasSubstr("zero"));
  EXPECT_THAT(refusal(head + "rules:\n  - {layers: 0..2 every 2, type: Q4_K}\n"), HasSubstr("from"));
  EXPECT_THAT(refusal(head + "rules:\n  - {min_gqa: many, type: Q4_K}\n"), HasSubstr("x.yaml"));
  EXPECT_THAT(refusal("name: [unclosed"), HasSubstr("x.yaml"));
}

}  // namespace
}  // namespace tessera
