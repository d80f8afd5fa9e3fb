// What is decided about: a fold of one layer, what was seen before its readers, and how W8A8 is to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "artifacts/input_magnitudes.h"
#include "model/architecture/smoothing_fold.h"

namespace tessera::stages {

struct SmoothingTrialSettings {
  bool static_activations = false;
  int threads = 0;  ///< 0: all cores
};

/// A fold of one layer, and what was seen before its readers.
struct FoldInput {
  const model::FoldRule& rule;
  model::HeadShape heads;
  std::uint32_t layer = 0;
  std::vector<std::size_t> readers;  ///< tensors of the source, [out, columns] each
  std::uint64_t channels = 0;        ///< of the carrier
  InputMagnitudes magnitudes;        ///< [columns]
};

}  // namespace tessera::stages
