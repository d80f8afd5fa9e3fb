#include "plan_display.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "command.h"
#include "foundation/base/printable.h"

namespace tessera::cli {
namespace {

std::string error_column(const pipeline::QuantizeReport& report, std::size_t tensor) {
  if (report.errors.empty() || report.plan.tensors[tensor].is_copied()) return "-";
  const auto& error = report.errors[tensor];
  return fmt::format("{:.3e}", error.weighted_relative().value_or(error.relative()));
}

std::string loss_column(const PlannedTensor& tensor) {
  return tensor.predicted_loss ? fmt::format("{:.3e}", *tensor.predicted_loss) : "-";
}

}  // namespace

void print_plan(const pipeline::QuantizeReport& report, bool verbose) {
  std::size_t width = 6;
  for (const auto& tensor : report.plan.tensors)
    width = std::max(width, printable(tensor.source.name).size());
  fmt::print("{:<{}}  {:<8} {:<8} {:>10} {:>10} {:>12}  {}\n", "tensor", width, "from", "to", "error", "loss",
             "size", "why");
  std::size_t copied = 0;
  for (std::size_t i = 0; i < report.plan.tensors.size(); ++i) {
    const auto& tensor = report.plan.tensors[i];
    if (tensor.is_copied()) ++copied;
    if (tensor.is_copied() && !verbose) continue;
    std::string why(name_of(tensor.reason));
    if (tensor.wanted) why += fmt::format(", fallback: rows do not fit {}", name_of(*tensor.wanted));
    fmt::print("{:<{}}  {:<8} {:<8} {:>10} {:>10} {:>12}  {}\n", printable(tensor.source.name), width,
               name_of(tensor.source.type), name_of(tensor.target), error_column(report, i),
               loss_column(tensor), format_bytes(tensor.output().bytes()), why);
  }
  if (!verbose) fmt::print("{} tensors copied unchanged\n", copied);
  if (report.importance.origin)
    fmt::print("error: relative squared error, weighted by importance where there is one\n");
}

void print_totals(const pipeline::QuantizeReport& report, bool dry_run) {
  const auto size = size_of(report.plan);
  fmt::print("weights: {}, {:.4f} -> {:.4f} bits per weight ({} -> {})\n", size.weights, size.source_bpw(),
             size.target_bpw(), format_bytes(size.source_bytes), format_bytes(size.target_bytes));
  const auto file_bytes = report.header.file_bytes;
  for (const auto& file : report.files) {
    fmt::print("{} {}: {} bytes ({})\n", dry_run ? "would write" : "wrote", file.path.string(), file.bytes,
               format_bytes(file.bytes));
  }
  const double file_bpw =
      size.weights == 0 ? 0 : 8.0 * static_cast<double>(file_bytes) / static_cast<double>(size.weights);
  fmt::print("whole file: {} bytes, {:.4f} bits per weight\n", file_bytes, file_bpw);
  if (report.dynamic) {
    fmt::print("profile {}, target {}: predicted mean KL divergence {:.3e} (sensitivities: {}{})\n",
               report.header.profile, report.header.target, report.header.predicted_loss.value_or(0),
               name_of(report.dynamic->sensitivity.method),
               report.dynamic->sensitivity.with_feedback ? ", with error feedback" : "");
  }
}

void print_size_curve(const pipeline::QuantizeReport& report) {
  if (!report.dynamic) return;
  const auto overhead = report.header.file_bytes - size_of(report.plan).target_bytes;
  auto points = report.dynamic->curve;
  points.insert(points.end(), report.dynamic->uniform.begin(), report.dynamic->uniform.end());
  std::ranges::stable_sort(points, {}, &SizePoint::tensor_bytes);
  fmt::print("{:<8} {:>8} {:>14} {:>16}\n", "", "bpw", "file bytes", "predicted loss");
  for (const auto& point : points) {
    fmt::print("{:<8} {:>8.3f} {:>14} {:>16.3e}\n", point.label.empty() ? "dynamic" : point.label,
               point.bits_per_weight, point.tensor_bytes + overhead, point.loss);
  }
}

void print_super_weights(const pipeline::QuantizeReport& report) {
  if (!report.super_weights) return;
  const auto& coverage = *report.super_weights;
  fmt::print(
      "super weights: {} found, {} protected: {} in encoded blocks, {} in {} promoted tensors, {} "
      "restored, {} not quantized",
      coverage.found, coverage.protected_places(), coverage.in_blocks, coverage.promoted,
      coverage.promoted_tensors.size(), coverage.restored, coverage.unquantized);
  if (coverage.relative_error) fmt::print("; relative error of them {:.3e}", *coverage.relative_error);
  fmt::print("\n");
  if (!coverage.sidecar.empty())
    fmt::print("sidecar {}: {} bytes\n", coverage.sidecar.string(), coverage.sidecar_bytes);
}

void print_evaluation(const pipeline::QuantizeReport& report) {
  if (!report.evaluation || !report.evaluation->change) return;
  const auto& evaluation = *report.evaluation;
  fmt::print(
      "perplexity {:.4f} -> {:.4f}, mean KL divergence {:.6f} +/- {:.6f}, same most probable token {:.2f} "
      "%\n",
      evaluation.original.perplexity.value, evaluation.quantized->perplexity.value,
      evaluation.change->kl_divergence.value, evaluation.change->kl_divergence.standard_error,
      evaluation.change->top_1_agreement_pct.value);
}

}  // namespace tessera::cli
