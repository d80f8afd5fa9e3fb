#include "foundation/base/early_sync.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

namespace tessera {
namespace {

/// A flush costs the disk a round trip, so it has to be worth it: a thirty-second of what was written is the
/// most that is left to the end, down to where the round trip itself is what takes time and up to what a disk
/// does in a moment.
constexpr std::uint64_t kLeastBytes = 1 << 20;
constexpr std::uint64_t kMostBytes = 64 << 20;
std::uint64_t worth_a_flush(std::uint64_t written) {
  return std::clamp(written / 32, kLeastBytes, kMostBytes);
}

}  // namespace

void EarlySync::collect() {
  const int failure = flush_.get();
  if (failure_ == 0) failure_ = failure;
}

void EarlySync::wrote(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  written_ += bytes;
  if (written_ - flushed_ < worth_a_flush(written_)) return;
  if (flush_.valid()) {
    if (flush_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    collect();
  }
  try {
    flush_ =
        std::async(std::launch::async, [file = descriptor_] { return ::fdatasync(file) == 0 ? 0 : errno; });
    flushed_ = written_;
  } catch (const std::system_error&) {
    // No thread to be had: the bytes wait for the next flush or the end.
  }
}

int EarlySync::settle() {
  const std::lock_guard lock(mutex_);
  if (flush_.valid()) collect();
  return failure_;
}

}  // namespace tessera
