// Keeps the start of every command short.
//
// The shared library of Highway 1.0 (Debian 12) measures the resolution of the processor's clock while it is
// loaded, for benchmarks that nothing here runs: 2.5 of the 4 ms in which `tessera --version` starts and
// ends. The library asks the function below, which a program may replace by its own, so this one answers at
// once. To a Highway that measures on demand, or that is linked statically, the function means nothing.
#include <cstdint>

namespace hwy::platform {

/// In ticks of the processor's clock; 1 is the least possible.
// NOLINTNEXTLINE(readability-identifier-naming)
__attribute__((visibility("default"))) std::uint64_t TimerResolution() { return 1; }

}  // namespace hwy::platform
