// A request to stop, set by a signal handler or another thread and looked at between pieces of work.
#pragma once

#include <atomic>

#include "foundation/base/error.h"

namespace tessera {

class StopFlag {
 public:
  /// Safe inside a signal handler.
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  /// Throws InterruptedError once a stop was requested.
  void check() const {
    if (requested()) throw InterruptedError("interrupted");
  }

 private:
  std::atomic<bool> requested_ = false;
  static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler must not take a lock");
};

}  // namespace tessera
