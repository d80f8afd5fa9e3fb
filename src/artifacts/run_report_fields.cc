#include "artifacts/run_report_fields.h"

#include <fmt/format.h>

#include <array>
#include <span>
#include <string_view>

#include "artifacts/json_fields.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"

namespace tessera {
namespace {

using nlohmann::json;

constexpr std::string_view kDocument = "run report of Tessera";

/// Of every kind of run.
constexpr std::array kCommonFields = {
    JsonField{"tessera_version", FieldType::text},
    JsonField{"created", FieldType::text},
    JsonField{"model", FieldType::text},
    JsonField{"provenance", FieldType::object},
    JsonField{"provenance.files", FieldType::list},
    JsonField{"provenance.files[].purpose", FieldType::text},
    JsonField{"provenance.files[].path", FieldType::text},
    JsonField{"provenance.files[].bytes", FieldType::whole},
    JsonField{"provenance.files[].xxh128", FieldType::text_or_null},
    JsonField{"wall_seconds", FieldType::list},
    JsonField{"wall_seconds[].step", FieldType::text},
    JsonField{"wall_seconds[].seconds", FieldType::number_or_null},
};

constexpr std::array kQuantizeFields = {
    JsonField{"settings", FieldType::object},
    JsonField{"plan", FieldType::object},
    JsonField{"plan.bytes", FieldType::whole},
    JsonField{"plan.file_bytes", FieldType::whole},
    JsonField{"plan.weights", FieldType::whole},
    JsonField{"plan.bits_per_weight", FieldType::number_or_null},
    JsonField{"plan.predicted_loss", FieldType::number_or_null},
    JsonField{"plan.tensors", FieldType::list},
    JsonField{"plan.tensors[].name", FieldType::text},
    JsonField{"plan.tensors[].role", FieldType::text},
    JsonField{"plan.tensors[].layer", FieldType::whole_or_null},
    JsonField{"plan.tensors[].from", FieldType::text},
    JsonField{"plan.tensors[].to", FieldType::text},
    JsonField{"plan.tensors[].weights", FieldType::whole},
    JsonField{"plan.tensors[].bytes", FieldType::whole},
    JsonField{"plan.tensors[].bits_per_weight", FieldType::number_or_null},
    JsonField{"plan.tensors[].reason", FieldType::text},
    JsonField{"plan.tensors[].predicted_loss", FieldType::number_or_null},
    JsonField{"plan.tensors[].relative_error", FieldType::number_or_null},
    JsonField{"plan.tensors[].weighted_relative_error", FieldType::number_or_null},
    JsonField{"sensitivity", FieldType::object_or_null},
    JsonField{"sensitivity.method", FieldType::text},
    JsonField{"sensitivity.tensors", FieldType::list},
    JsonField{"sensitivity.tensors[].name", FieldType::text},
    JsonField{"sensitivity.tensors[].candidates", FieldType::list},
    JsonField{"sensitivity.tensors[].candidates[].type", FieldType::text},
    JsonField{"sensitivity.tensors[].candidates[].bits_per_weight", FieldType::number_or_null},
    JsonField{"sensitivity.tensors[].candidates[].loss", FieldType::number_or_null},
    JsonField{"size_curve", FieldType::list},
    JsonField{"size_curve[].file_bytes", FieldType::whole},
    JsonField{"size_curve[].bits_per_weight", FieldType::number_or_null},
    JsonField{"size_curve[].predicted_loss", FieldType::number_or_null},
    JsonField{"uniform", FieldType::list},
    JsonField{"uniform[].type", FieldType::text},
    JsonField{"uniform[].file_bytes", FieldType::whole},
    JsonField{"uniform[].bits_per_weight", FieldType::number_or_null},
    JsonField{"uniform[].predicted_loss", FieldType::number_or_null},
    JsonField{"files", FieldType::list},
    JsonField{"files[].path", FieldType::text},
    JsonField{"files[].bytes", FieldType::whole},
    JsonField{"super_weight_coverage", FieldType::object_or_null, true},  // older reports have none
    JsonField{"super_weight_coverage.method", FieldType::text, true},
    JsonField{"super_weight_coverage.found", FieldType::whole, true},
    JsonField{"super_weight_coverage.protected", FieldType::whole, true},
    JsonField{"super_weight_coverage.promoted_tensors", FieldType::list, true},
    JsonField{"evaluation", FieldType::object_or_null},
    JsonField{"evaluation.layer_errors", FieldType::list},
    JsonField{"evaluation.layer_errors[].layer", FieldType::whole},
    JsonField{"evaluation.layer_errors[].output_relative_error", FieldType::number_or_null},
    JsonField{"evaluation.kl_divergence_histogram", FieldType::list, true},  // older reports have none
    JsonField{"evaluation.kl_divergence_histogram[].upper", FieldType::positive, true},
    JsonField{"evaluation.kl_divergence_histogram[].tokens", FieldType::whole, true},
};

constexpr std::array kSmoothQuantFields = {
    JsonField{"output", FieldType::text},
    JsonField{"form", FieldType::text},
    JsonField{"float_type", FieldType::text},
    JsonField{"settings", FieldType::object},
    JsonField{"bytes", FieldType::whole},
    JsonField{"folds", FieldType::list},
    JsonField{"folds[].layer", FieldType::whole},
    JsonField{"folds[].fold", FieldType::text},
    JsonField{"folds[].alpha", FieldType::number_or_null},
    JsonField{"folds[].original", FieldType::object},
    JsonField{"folds[].original.input", FieldType::object},
    JsonField{"folds[].original.input.maximum", FieldType::number_or_null},
    JsonField{"folds[].original.input.outlier_ratio", FieldType::number_or_null},
    JsonField{"folds[].original.weights", FieldType::object},
    JsonField{"folds[].original.weights.maximum", FieldType::number_or_null},
    JsonField{"folds[].original.weights.outlier_ratio", FieldType::number_or_null},
    JsonField{"folds[].smoothed", FieldType::object},
    JsonField{"folds[].smoothed.input", FieldType::object},
    JsonField{"folds[].smoothed.input.maximum", FieldType::number_or_null},
    JsonField{"folds[].smoothed.input.outlier_ratio", FieldType::number_or_null},
    JsonField{"folds[].smoothed.weights", FieldType::object},
    JsonField{"folds[].smoothed.weights.maximum", FieldType::number_or_null},
    JsonField{"folds[].smoothed.weights.outlier_ratio", FieldType::number_or_null},
    JsonField{"folds[].linears", FieldType::list},
    JsonField{"folds[].linears[].tensor", FieldType::text},
    JsonField{"folds[].linears[].naive_error", FieldType::number_or_null},
    JsonField{"folds[].linears[].smoothed_error", FieldType::number_or_null},
    JsonField{"evaluation", FieldType::object_or_null},
    JsonField{"evaluation.datasets", FieldType::list},
    JsonField{"evaluation.context", FieldType::whole},
    JsonField{"evaluation.windows", FieldType::whole},
    JsonField{"evaluation.scored_tokens", FieldType::whole},
    JsonField{"evaluation.original", FieldType::object},
    JsonField{"evaluation.original.perplexity", FieldType::number_or_null},
    JsonField{"evaluation.original.perplexity_standard_error", FieldType::number_or_null},
    JsonField{"evaluation.variants", FieldType::list},
    JsonField{"evaluation.variants[].model", FieldType::text},
    JsonField{"evaluation.variants[].perplexity", FieldType::number_or_null},
    JsonField{"evaluation.variants[].perplexity_standard_error", FieldType::number_or_null},
    JsonField{"evaluation.variants[].perplexity_delta_pct", FieldType::number_or_null},
    JsonField{"evaluation.variants[].kl_divergence", FieldType::number_or_null},
    JsonField{"evaluation.variants[].top_1_agreement_pct", FieldType::number_or_null},
};

/// Reports of quantization are the older ones and do not say what they are.
std::span<const JsonField> fields_of(const json& report, const std::string& file) {
  const auto kind = report.find("kind");
  if (kind == report.end()) return kQuantizeFields;
  if (*kind == "smoothquant") return kSmoothQuantFields;
  throw BadFileError(
      {file}, fmt::format("no {} that a page can be made of: its \"kind\" is {}; reports of smoothing have "
                          "\"smoothquant\", those of quantization none",
                          kDocument, printable(kind->dump(-1, ' ', true, json::error_handler_t::replace))));
}

}  // namespace

void check_run_report(const nlohmann::json& report, const std::string& file) {
  const auto fields = fields_of(report, file);
  check_fields(report, kCommonFields, kDocument, file);
  check_fields(report, fields, kDocument, file);
}

}  // namespace tessera
