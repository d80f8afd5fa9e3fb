// Makes what was written to an open file durable while its writer computes on, so that the fsync at the end
// has little left to wait for.
//
// Starting to write pages out is not enough: a disk with a cache of its own takes the bytes quickly and is
// waited for when it is told to flush them. So a flush of its own (fdatasync) runs in the background whenever
// enough bytes have come together, at most one at a time.
#pragma once

#include <cstdint>
#include <future>
#include <mutex>

namespace tessera {

class EarlySync {
 public:
  /// `descriptor` stays open for as long as this lives.
  explicit EarlySync(int descriptor) : descriptor_(descriptor) {}

  /// Tells of `bytes` more that were written; may start a flush. Any thread.
  void wrote(std::uint64_t bytes);

  /// Waits for the flush that is running, if any. Returns 0, or the errno of the first flush that failed: the
  /// system reports a failed write to one flush only, so a later fsync may not see it.
  int settle();

 private:
  void collect();

  const int descriptor_;
  std::mutex mutex_;
  std::uint64_t written_ = 0;  ///< bytes, in all
  std::uint64_t flushed_ = 0;  ///< of these, what the last flush that was started covers
  std::future<int> flush_;     ///< the errno of the flush that was started last; not valid when it was seen
  int failure_ = 0;
};

}  // namespace tessera
