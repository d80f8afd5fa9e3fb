#include "foundation/base/parallel.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace tessera {
namespace {

TEST(ParallelFor, CallsEveryItemOnceWithTeamsThatGrowAndShrink) {
  for (const int threads : {1, 3, 2, 8, 1, 8}) {
    std::vector<std::atomic<int>> calls(100);
    parallel_for(calls.size(), threads, [&](std::size_t item, int worker) {
      EXPECT_GE(worker, 0);
      EXPECT_LT(worker, threads);
      ++calls[item];
    });
    for (const auto& count : calls) EXPECT_EQ(count, 1);
  }
}

TEST(ParallelFor, LeavesEveryThreadTheProcessorsItMayUse) {
  cpu_set_t own;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(own), &own), 0);
  parallel_for(64, 4, [&](std::size_t, int) {
    cpu_set_t allowed;
    ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    EXPECT_TRUE(CPU_EQUAL(&allowed, &own));
  });
}

TEST(ParallelFor, ThrowsWhatAnItemThrew) {
  for (const int threads : {1, 4}) {
    std::atomic<int> calls = 0;
    try {
      parallel_for(1000, threads, [&](std::size_t item, int) {
        ++calls;
        if (item == 7) throw std::runtime_error("the seventh");
      });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "the seventh");
    }
    // Other threads may finish what they have; one alone hands out nothing after the failure.
    if (threads == 1) {
      EXPECT_EQ(calls, 8);
    }
  }
}

}  // namespace
}  // namespace tessera
