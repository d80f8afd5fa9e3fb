// A plan and its figures for people.
#pragma once

#include "pipeline/quantize.h"

namespace tessera::cli {

/// One line per tensor that is encoded; all tensors when `verbose`.
void print_plan(const pipeline::QuantizeReport& report, bool verbose);
/// Sizes, and what a dynamic plan is predicted to lose.
void print_totals(const pipeline::QuantizeReport& report, bool dry_run);
/// Predicted loss against size over the whole range, dynamic and uniform.
void print_size_curve(const pipeline::QuantizeReport& report);
/// What became of super weights, where they were to be protected.
void print_super_weights(const pipeline::QuantizeReport& report);
/// Of the evaluation, where there is one.
void print_evaluation(const pipeline::QuantizeReport& report);

}  // namespace tessera::cli
