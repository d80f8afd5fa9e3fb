// A parallel loop over independent items whose exceptions reach the caller.
#pragma once

#include <cstddef>
#include <functional>

namespace tessera {

/// Number of threads that `threads` asks for: itself when positive, else all cores of the machine.
int resolve_threads(int threads);

/// Calls body(item, worker) for item in [0, items), handed out in order to at most `threads` threads;
/// `worker` is in [0, resolve_threads(threads)), so that each thread can own a scratch buffer. The first
/// exception (by item) stops the handing out and is rethrown here, outside the parallel region.
void parallel_for(std::size_t items, int threads,
                  const std::function<void(std::size_t item, int worker)>& body);

/// While it lives, libraries that use OpenMP themselves and are called from this thread keep to this thread.
class SingleThreadScope {
 public:
  SingleThreadScope();
  ~SingleThreadScope();
  SingleThreadScope(const SingleThreadScope&) = delete;
  SingleThreadScope& operator=(const SingleThreadScope&) = delete;

 private:
  int threads_before_;
};

}  // namespace tessera
