// What `tessera profiles` prints can be read by people, machines and the program itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "artifacts/quant_config.h"
#include "cli/run_program.h"

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;

TEST(Profiles, AreListedWithWhatTheyAreFor) {
  const auto result = run_program({"profiles"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const auto& profile : built_in_profiles()) {
    EXPECT_THAT(result.out, HasSubstr(profile.profile));
    EXPECT_THAT(result.out, HasSubstr(profile.about));
  }
  const auto json = nlohmann::json::parse(run_program({"profiles", "--json"}).out);
  EXPECT_EQ(json.size(), built_in_profiles().size());
  EXPECT_EQ(json[0]["profile"], "attention-high");
}

TEST(Profiles, OneIsShownWithAllThatItExtends) {
  const auto result = run_program({"profiles", "attention-high"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("  - {roles: [attention], min: 4}  # profile attention-high:"));
  EXPECT_THAT(result.out, HasSubstr("# profile balanced:"));
  EXPECT_THAT(result.out, HasSubstr("  - IQ1_S    # 1.5625 bits per weight\n"));
}

TEST(Profiles, WhatIsShownIsAConfiguration) {
  for (const auto& profile : built_in_profiles()) {
    const auto shown = run_program({"profiles", profile.profile}).out;
    const auto config = parse_quant_config(shown, "shown");
    EXPECT_EQ(config.policy.candidates, profile.candidates);
    const auto first = config.policy.rules.size() - profile.rules.size();
    for (std::size_t i = 0; i < profile.rules.size(); ++i) {
      const auto& again = config.policy.rules[first + i];
      EXPECT_EQ(again.selector, profile.rules[i].selector) << shown;
      EXPECT_EQ(again.models, profile.rules[i].models) << shown;
      EXPECT_EQ(again.type, profile.rules[i].type) << shown;
      EXPECT_EQ(again.min_bits, profile.rules[i].min_bits) << shown;
      EXPECT_EQ(again.max_bits, profile.rules[i].max_bits) << shown;
    }
  }
}

TEST(Profiles, AsJsonHasCandidatesAndRules) {
  const auto json = nlohmann::json::parse(run_program({"profiles", "balanced", "--json"}).out);
  EXPECT_EQ(json["profile"], "balanced");
  EXPECT_EQ(json["candidates"][0]["type"], "IQ1_S");
  EXPECT_EQ(json["candidates"][0]["bits_per_weight"], 1.5625);
  EXPECT_EQ(json["rules"][0]["roles"][0], "token_embd");
}

TEST(Profiles, AnUnknownNameIsWrongUsage) {
  const auto result = run_program({"profiles", "balance"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("did you mean 'balanced'?"));
}

}  // namespace
}  // namespace tessera::testing
