// Progress of a walk through the layers, measured in bytes of the layers' weights.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "foundation/base/progress.h"
#include "model/forward/forward_pass.h"

namespace tessera::pipeline {

class LayerProgress {
 public:
  LayerProgress(std::string stage, ProgressObserver& progress)
      : stage_(std::move(stage)), progress_(progress) {}

  /// Counts the first `layers` layers of a model as work to do.
  void add(const model::WeightLoader& loader, std::uint32_t layers) { add(loader, 0, layers); }
  /// Counts the layers [first, end).
  void add(const model::WeightLoader& loader, std::uint32_t first, std::uint32_t end) {
    for (std::uint32_t layer = first; layer < end; ++layer) total_bytes_ += loader.layer_bytes(layer);
  }
  void begin() { progress_.begin(stage_, total_bytes_); }
  /// Counts a layer as done that is not walked.
  void skip(const model::WeightLoader& loader, std::uint32_t layer) {
    done_bytes_ += loader.layer_bytes(layer);
    progress_.advance(done_bytes_);
  }
  /// What run_layer calls as the windows of this layer are done.
  model::WindowsDone layer(const model::WeightLoader& loader, std::uint32_t layer) {
    const std::uint64_t bytes = loader.layer_bytes(layer);
    const std::uint64_t before = done_bytes_;
    done_bytes_ += bytes;
    return [this, bytes, before](std::size_t done, std::size_t total) {
      const std::lock_guard lock(mutex_);
      progress_.advance(before +
                        static_cast<std::uint64_t>(static_cast<double>(bytes) *
                                                   (static_cast<double>(done) / static_cast<double>(total))));
    };
  }
  /// run(layer, done) for the layers [first, layers); those before count as done.
  template <class Run>
  void walk(const model::WeightLoader& loader, std::uint32_t first, std::uint32_t layers, const Run& run) {
    for (std::uint32_t index = 0; index < first; ++index) skip(loader, index);
    for (std::uint32_t index = first; index < layers; ++index) {
      run(index, layer(loader, index));
      item_done(fmt::format("layer {} of {}", index + 1, layers));
    }
  }
  void item_done(std::string_view line) { progress_.item_done(line); }
  void end() { progress_.end(); }

 private:
  std::string stage_;
  ProgressObserver& progress_;
  std::mutex mutex_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t done_bytes_ = 0;
};

}  // namespace tessera::pipeline
