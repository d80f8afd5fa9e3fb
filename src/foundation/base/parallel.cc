#include "foundation/base/parallel.h"

#include <omp.h>

#include <atomic>
#include <exception>
#include <limits>
#include <mutex>

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

}  // namespace

int resolve_threads(int threads) { return threads > 0 ? threads : omp_get_num_procs(); }

void parallel_for(std::size_t items, int threads, const std::function<void(std::size_t, int)>& body) {
  FirstFailure failure;
  const int count = resolve_threads(threads);
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
