// How much of the plain encoder's error is left with error feedback, by tensor and type.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "pipeline/sensitivity.h"

namespace tessera::pipeline {

/// By candidate and type: the error at the output with feedback as a share of the plain encoder's, in [0, 1].
using FeedbackShares = std::vector<std::vector<double>>;

/// All 1.
FeedbackShares all_plain_shares(std::span<const TensorCandidates> candidates);

/// All values in a row, as caches and checkpoints keep them.
std::vector<double> flat_shares(const FeedbackShares& shares);
/// Fills shares of the right sizes from the bytes of such values; false when those are of another size.
bool fill_shares(std::span<const std::byte> bytes, FeedbackShares& shares);

}  // namespace tessera::pipeline
