// The report of a quantization run: the figures that docs/run-report.schema.json describes.
#pragma once

#include <nlohmann/json.hpp>

#include "pipeline/quantize.h"

namespace tessera::pipeline {

/// Without the time of its making, which the caller adds as "created": the same run gives the same report but
/// for wall times.
nlohmann::json to_json(const QuantizeReport& report);

}  // namespace tessera::pipeline
