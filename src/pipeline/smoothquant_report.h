// The report of a smoothing run: what docs/smoothquant.md describes, for machines and for the page.
#pragma once

#include <nlohmann/json.hpp>

#include "pipeline/smoothquant.h"

namespace tessera::pipeline {

/// Without the time of its making, which the caller adds as "created": the same run gives the same report but
/// for wall times. Ranges and ratios stand for the channels; `plan.folds` of to_json(SmoothingPlan) has them
/// one by one.
nlohmann::json to_json(const SmoothQuantReport& report);

}  // namespace tessera::pipeline
