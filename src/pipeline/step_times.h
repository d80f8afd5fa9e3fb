// How long the steps of a run took, for its report.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace tessera::pipeline {

struct StepTime {
  std::string step;
  double seconds = 0;  ///< wall clock
};

/// Runs `work` and adds its time under the name `step`; returns what it returns.
template <class Work>
auto timed(std::vector<StepTime>& times, std::string step, const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  auto result = work();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  times.push_back({std::move(step), took.count()});
  return result;
}

/// Adds up the time of work that is done in many pieces.
class Stopwatch {
 public:
  template <class Work>
  auto measure(const Work& work) {
    const Lap lap{*this};
    return work();
  }
  double seconds() const { return seconds_; }

 private:
  struct Lap {
    Stopwatch& watch;
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    ~Lap() {
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      watch.seconds_ += took.count();
    }
  };

  double seconds_ = 0;
};

}  // namespace tessera::pipeline
