// How a long run tells its caller where it stands. The library never prints: the command line shows a bar or
// plain lines, a test records, a server does something else.
#pragma once

#include <cstdint>
#include <string_view>

namespace tessera {

/// Calls come from one thread at a time, in order; an observer needs no lock.
class ProgressObserver {
 public:
  virtual ~ProgressObserver() = default;

  /// A stage begins whose work is `total_bytes` of input.
  virtual void begin(std::string_view stage, std::uint64_t total_bytes) = 0;
  /// `done_bytes` of the stage's total are done.
  virtual void advance(std::uint64_t done_bytes) = 0;
  /// One item of the stage (a tensor, a layer) is finished; `line` describes it.
  virtual void item_done(std::string_view line) = 0;
  /// The stage is finished.
  virtual void end() = 0;
  /// Something about the run that is neither progress nor a warning.
  virtual void note(std::string_view message) = 0;
  /// Something the user should know, though the run goes on.
  virtual void warn(std::string_view message) = 0;
};

/// For callers that do not care.
class SilentProgress final : public ProgressObserver {
 public:
  void begin(std::string_view, std::uint64_t) override {}
  void advance(std::uint64_t) override {}
  void item_done(std::string_view) override {}
  void end() override {}
  void note(std::string_view) override {}
  void warn(std::string_view) override {}
};

}  // namespace tessera
