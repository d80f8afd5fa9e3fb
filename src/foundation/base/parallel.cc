#include "foundation/base/parallel.h"

#include <omp.h>
#include <sched.h>

#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <utility>

namespace tessera {
namespace {

/// Keeps the exception of the lowest item, so that what is reported does not depend on timing alone.
class FirstFailure {
 public:
  void record(std::size_t item) {
    const std::lock_guard lock(mutex_);
    if (item < item_) {
      item_ = item;
      exception_ = std::current_exception();
    }
    failed_.store(true, std::memory_order_release);
  }
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> failed_ = false;
  std::size_t item_ = std::numeric_limits<std::size_t>::max();
  std::exception_ptr exception_;
};

/// Lets the threads of a team that has just been made begin at once, each on a processor of its own.
///
/// Linux may queue a new thread behind its maker although other processors are idle, and look at it again
/// only after some tens of milliseconds: two threads then do the work of one for as long. So the maker waits,
/// which gives its processor away, until the others have moved. The scheduler may move them on from there as
/// ever.
class Dispersal {
 public:
  /// To be called once by every thread of the team; number 0 is the maker.
  void arrive(int thread, int threads) {
    if (thread > 0) {
      move_to_own_processor(thread);
      ++arrived_;
      arrived_.notify_one();
      return;
    }
    for (int arrived = 0; arrived < threads - 1; arrived = arrived_.load()) arrived_.wait(arrived);
  }

 private:
  /// To the `thread`th allowed processor after the maker's. Where that is refused it stays, which costs time
  /// only.
  void move_to_own_processor(int thread) const {
    cpu_set_t allowed;
    if (home_ < 0 || ::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
    int processor = home_;
    for (int steps = thread % CPU_COUNT(&allowed); steps > 0;) {
      processor = (processor + 1) % CPU_SETSIZE;
      if (CPU_ISSET(processor, &allowed)) --steps;
    }
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(processor, &own);
    if (::sched_setaffinity(0, sizeof(own), &own) == 0) ::sched_setaffinity(0, sizeof(allowed), &allowed);
  }

  const int home_ = ::sched_getcpu();
  std::atomic<int> arrived_ = 0;
};

}  // namespace

int resolve_threads(int threads) { return threads > 0 ? threads : omp_get_num_procs(); }

void parallel_for(std::size_t items, int threads, const std::function<void(std::size_t, int)>& body) {
  FirstFailure failure;
  const int count = resolve_threads(threads);
  // OpenMP keeps the threads of the last team of this thread; a team of one does not touch them.
  static thread_local int last_count = 1;
  if (count > 1 && count > std::exchange(last_count, count)) {
    Dispersal dispersal;
    // One too many for a moment: libgomp starts a team by spinning as long as it believes that every thread
    // has a processor, and would keep the new ones from theirs.
#pragma omp parallel num_threads(count + 1)
    dispersal.arrive(omp_get_thread_num(), omp_get_num_threads());
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(count)
  for (std::size_t item = 0; item < items; ++item) {
    if (failure.failed()) continue;
    try {
      body(item, omp_get_thread_num());
    } catch (...) {
      failure.record(item);
    }
  }
  failure.rethrow();
}

SingleThreadScope::SingleThreadScope() : threads_before_(omp_get_max_threads()) { omp_set_num_threads(1); }
SingleThreadScope::~SingleThreadScope() { omp_set_num_threads(threads_before_); }

}  // namespace tessera
