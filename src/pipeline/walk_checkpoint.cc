#include "pipeline/walk_checkpoint.h"

#include <algorithm>

#include "foundation/base/error.h"

namespace tessera::pipeline {
namespace {

constexpr const char* kStatistics = "statistics";

}  // namespace

void WalkCheckpoint::restore(const std::string& name, model::HiddenStates& states) const {
  const MappedFile file = folder_->open(name);
  if (file.bytes().size() != states.bytes().size()) {
    throw BadFileError({.file = file.path()}, "it is of another size than this run's hidden states");
  }
  const std::size_t window_bytes = file.bytes().size() / states.windows();
  for (std::size_t window = 0; window < states.windows(); ++window) {
    const auto stored = file.bytes().subspan(window * window_bytes, window_bytes);
    std::ranges::copy(stored, states.bytes().begin() + static_cast<std::ptrdiff_t>(window * window_bytes));
    file.discard(stored);
    states.release(window);
  }
}

CalibrationStatistics WalkCheckpoint::statistics() const {
  const MappedFile file = folder_->open(kStatistics);
  auto statistics = calibration_statistics_from(file.bytes());
  if (!statistics) throw BadFileError({.file = file.path()}, "it holds no calibration statistics");
  return std::move(*statistics);
}

void WalkCheckpoint::keep(const std::string& name, const model::HiddenStates& states) {
  if (!keeps()) return;
  auto writer = folder_->write(name);
  const std::size_t window_bytes = states.bytes().size() / states.windows();
  for (std::size_t window = 0; window < states.windows(); ++window) {
    writer.append(states.bytes().subspan(window * window_bytes, window_bytes));
    states.release(window);
  }
  writer.finish();
}

void WalkCheckpoint::keep(const CalibrationStatistics& statistics) {
  if (!keeps()) return;
  keep(kStatistics, to_bytes(statistics));
  has_statistics_ = true;
}

void WalkCheckpoint::keep(const std::string& name, std::span<const std::byte> bytes) {
  if (!keeps()) return;
  auto writer = folder_->write(name);
  writer.append(bytes);
  writer.finish();
}

void WalkCheckpoint::commit(std::uint32_t steps, std::vector<std::string> names) {
  if (!keeps()) return;
  if (has_statistics_) names.emplace_back(kStatistics);
  has_statistics_ = false;
  folder_->commit(steps, names);
}

}  // namespace tessera::pipeline
