// Observes the inputs of all linears while windows pass through a layer, and adds up their columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "artifacts/calibration_statistics.h"
#include "foundation/tensor/weight_source.h"
#include "model/forward/forward_observer.h"

namespace tessera::stages {

class InputStatistics final : public model::ForwardObserver {
 public:
  /// `source` names the tensors and outlives it; `lanes` as ForwardPass::lanes.
  InputStatistics(const WeightSource& source, std::size_t lanes) : source_(source), lanes_(lanes) {}

  void linear_input(const model::LinearInput& input) override;

  /// Adds what was seen, lane by lane in their order, to `statistics`, and forgets it.
  void collect(CalibrationStatistics& statistics);

 private:
  /// Inputs by the first weight that reads them.
  struct Lane {
    std::map<std::size_t, ColumnStatistics> inputs;
    std::map<std::size_t, std::vector<std::size_t>> readers;
  };

  const WeightSource& source_;
  std::vector<Lane> lanes_;
};

}  // namespace tessera::stages
