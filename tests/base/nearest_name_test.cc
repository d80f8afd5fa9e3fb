#include "foundation/base/nearest_name.h"

#include <gtest/gtest.h>

#include <array>

namespace tessera {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"profile", "target", "rules", "roles"};

TEST(NearestName, FindsOneEditAway) {
  EXPECT_EQ(nearest_name("profle", kNames), "profile");
  EXPECT_EQ(nearest_name("profilee", kNames), "profile");
  EXPECT_EQ(nearest_name("tarkets", kNames), "target");
  EXPECT_EQ(nearest_name("TARGET", kNames), "target");
}

TEST(NearestName, AnExchangeOfNeighboursIsOneEdit) { EXPECT_EQ(nearest_name("rolse", kNames), "roles"); }

TEST(NearestName, WhatIsFarFromAllHasNone) {
  EXPECT_FALSE(nearest_name("colour", kNames));
  EXPECT_FALSE(nearest_name("", kNames));
  EXPECT_FALSE(nearest_name("profile", {}));
  EXPECT_FALSE(nearest_name(std::string(100'000, 'r'), kNames));
}

TEST(NearestName, TheHintIsEmptyWithoutOne) {
  EXPECT_EQ(did_you_mean("profle", kNames), "; did you mean 'profile'?");
  EXPECT_EQ(did_you_mean("colour", kNames), "");
}

}  // namespace
}  // namespace tessera
