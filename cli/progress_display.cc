#include "progress_display.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace tessera::cli {
namespace {

constexpr auto kRedrawInterval = std::chrono::milliseconds(100);
constexpr int kBarWidth = 30;

std::string minutes_and_seconds(double seconds) {
  const auto whole = std::lround(seconds);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

ProgressDisplay::ProgressDisplay(const CommonOptions& options)
    : quiet_(options.quiet), verbose_(options.verbose), terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressDisplay::~ProgressDisplay() { erase_bar(); }

void ProgressDisplay::begin(std::string_view stage, std::uint64_t total_bytes) {
  stage_ = stage;
  total_bytes_ = total_bytes;
  started_ = last_drawn_ = Clock::now();
  if (!quiet_ && !terminal_) fmt::print(stderr, "{}: {} to do\n", stage_, format_bytes(total_bytes));
}

void ProgressDisplay::advance(std::uint64_t done_bytes) {
  const auto now = Clock::now();
  if (quiet_ || !terminal_ || now - last_drawn_ < kRedrawInterval) return;
  last_drawn_ = now;
  draw(done_bytes);
}

void ProgressDisplay::item_done(std::string_view line) {
  if (quiet_ || (terminal_ && !verbose_)) return;
  erase_bar();
  fmt::print(stderr, "{}\n", line);
}

void ProgressDisplay::end() {
  erase_bar();
  const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  if (quiet_) return;
  fmt::print(
      stderr, "{}: {} in {:.1f} s ({}/s)\n", stage_, format_bytes(total_bytes_), seconds,
      format_bytes(static_cast<std::uint64_t>(static_cast<double>(total_bytes_) / std::max(seconds, 1e-3))));
}

void ProgressDisplay::note(std::string_view message) {
  if (quiet_) return;
  erase_bar();
  fmt::print(stderr, "{}\n", message);
}

void ProgressDisplay::warn(std::string_view message) {
  erase_bar();
  fmt::print(stderr, "tessera: warning: {}\n", message);
}

void ProgressDisplay::draw(std::uint64_t done_bytes) {
  const double share =
      total_bytes_ == 0 ? 1.0 : static_cast<double>(done_bytes) / static_cast<double>(total_bytes_);
  const double seconds = std::max(std::chrono::duration<double>(Clock::now() - started_).count(), 1e-3);
  const double left = share > 0 ? seconds / share - seconds : 0;
  const int filled = static_cast<int>(share * kBarWidth);
  fmt::print(stderr, "\r{} [{:#<{}}{:-<{}}] {:3.0f}%  {}/s  {} left \x1b[K", stage_, "", filled, "",
             kBarWidth - filled, share * 100,
             format_bytes(static_cast<std::uint64_t>(static_cast<double>(done_bytes) / seconds)),
             minutes_and_seconds(left));
  std::fflush(stderr);
  bar_shown_ = true;
}

void ProgressDisplay::erase_bar() {
  if (!bar_shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  bar_shown_ = false;
}

}  // namespace tessera::cli
