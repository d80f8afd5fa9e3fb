#include "foundation/base/early_sync.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>
#include <vector>

namespace tessera {
namespace {

constexpr std::uint64_t kEnoughForAFlush = 2 << 20;

/// A pipe, which cannot be made durable: fdatasync answers EINVAL.
class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~Pipe() {
    for (const int end : ends_) ::close(end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int descriptor() const { return ends_[1]; }

 private:
  std::array<int, 2> ends_{};
};

TEST(EarlySync, RemembersTheFailureOfAFlush) {
  const Pipe pipe;
  EarlySync sync(pipe.descriptor());
  sync.wrote(kEnoughForAFlush);
  EXPECT_EQ(sync.settle(), EINVAL);
  EXPECT_EQ(sync.settle(), EINVAL);
}

TEST(EarlySync, StartsNoFlushForFewBytes) {
  const Pipe pipe;
  EarlySync sync(pipe.descriptor());
  sync.wrote(1000);
  EXPECT_EQ(sync.settle(), 0);  // a flush would have failed
}

TEST(EarlySync, TakesManyWritersAtOnceAndAddsTheirBytes) {
  const Pipe pipe;
  EarlySync sync(pipe.descriptor());
  {
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < 4; ++writer) {
      writers.emplace_back([&] {
        for (int i = 0; i < 64; ++i) sync.wrote(kEnoughForAFlush / 128);  // only all together are enough
      });
    }
  }
  EXPECT_EQ(sync.settle(), EINVAL);
}

}  // namespace
}  // namespace tessera
