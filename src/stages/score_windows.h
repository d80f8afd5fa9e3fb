// Puts all windows through the output head of one or two models and scores the predictions.
#pragma once

#include "artifacts/window_scorer.h"
#include "foundation/base/stop_flag.h"
#include "model/forward/forward_pass.h"

namespace tessera::stages {

/// `original` and `quantized` (which may be null) have passed all layers over the same tokens with
/// vocabularies of the same size. Throws BadFileError on logits that are not finite, InterruptedError.
void score_windows(model::ForwardPass& original, model::ForwardPass* quantized, const StopFlag& stop,
                   WindowScorer& scorer);

}  // namespace tessera::stages
