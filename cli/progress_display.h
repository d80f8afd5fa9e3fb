// Shows progress on standard error: a bar with rate and time left on a terminal, plain lines when piped.
#pragma once

#include <chrono>
#include <string>

#include "command.h"
#include "foundation/base/progress.h"

namespace tessera::cli {

class ProgressDisplay final : public ProgressObserver {
 public:
  explicit ProgressDisplay(const CommonOptions& options);
  ~ProgressDisplay() override;
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  void begin(std::string_view stage, std::uint64_t total_bytes) override;
  void advance(std::uint64_t done_bytes) override;
  void item_done(std::string_view line) override;
  void end() override;
  void note(std::string_view message) override;
  void warn(std::string_view message) override;

 private:
  using Clock = std::chrono::steady_clock;

  void draw(std::uint64_t done_bytes);
  void erase_bar();

  bool quiet_;
  bool verbose_;
  bool terminal_;
  bool bar_shown_ = false;
  std::string stage_;
  std::uint64_t total_bytes_ = 0;
  Clock::time_point started_;
  Clock::time_point last_drawn_;
};

}  // namespace tessera::cli
