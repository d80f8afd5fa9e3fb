// What a calibration walk keeps of itself between two layers: hidden states by the layer that they enter, the
// gradients of a walk back, and the statistics so far.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/calibration_statistics.h"
#include "model/forward/hidden_states.h"
#include "pipeline/layer_checkpoint.h"

namespace tessera::pipeline {

/// Without a folder nothing is kept and nothing found.
class WalkCheckpoint {
 public:
  explicit WalkCheckpoint(LayerCheckpoint* folder) : folder_(folder) {}

  bool keeps() const { return folder_ != nullptr; }
  /// Steps that an earlier run finished; 0: none.
  std::uint32_t finished() const { return folder_ == nullptr ? 0 : folder_->finished_layers().value_or(0); }

  /// Fill what an earlier run kept. Throw BadFileError when it is damaged.
  void restore(const std::string& name, model::HiddenStates& states) const;
  CalibrationStatistics statistics() const;
  std::vector<std::byte> blob(const std::string& name) const { return folder_->read(name); }

  /// Write for the next commit. Throw IoError.
  void keep(const std::string& name, const model::HiddenStates& states);
  void keep(const CalibrationStatistics& statistics);
  void keep(const std::string& name, std::span<const std::byte> bytes);

  /// `steps` are finished; the state is what `names` says, and the statistics when they were kept since the
  /// last commit.
  void commit(std::uint32_t steps, std::vector<std::string> names);

 private:
  LayerCheckpoint* folder_;
  bool has_statistics_ = false;  ///< kept since the last commit
};

}  // namespace tessera::pipeline
