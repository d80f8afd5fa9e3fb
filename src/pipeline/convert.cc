#include "pipeline/convert.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "pipeline/output_guard.h"

namespace tessera::pipeline {
namespace {

QuantPlan plan_of(const WeightSource& weights, ElementType type) {
  QuantPlan plan;
  plan.recipe = name_of(type);
  plan.file_type = model::file_type_of_plain(type);
  for (const TensorDescriptor& tensor : weights.tensors()) {
    const auto place = model::place_of(tensor.name);
    const bool is_matrix = tensor.shape.size() > 1 && place.role != model::TensorRole::router;
    plan.tensors.push_back({.source = tensor,
                            .place = place,
                            .target = is_matrix ? type : ElementType::F32,
                            .reason = is_matrix ? ChoiceReason::pure : ChoiceReason::kept});
  }
  return plan;
}

void guard_inputs(const ConvertSettings& settings, const std::vector<gguf::PlannedFile>& files) {
  std::vector<std::filesystem::path> outputs;
  for (const auto& file : files) outputs.push_back(file.path);
  refuse_writing_over_inputs(outputs, files_of_model(settings.model));
}

}  // namespace

ConvertReport convert(const ConvertSettings& settings, ProgressObserver& progress, const StopFlag& stop) {
  if (std::filesystem::is_regular_file(settings.model)) {
    throw UsageError(
        fmt::format("{} is a file; convert takes a Hugging Face folder (quantize takes GGUF files)",
                    settings.model.string()));
  }
  auto model = model::open_model(settings.model, settings.open);
  ConvertReport report;
  report.architecture = model.metadata.text("general.architecture").value_or("");
  report.type = settings.type.value_or(model::plain_type_of(*model.weights));
  report.plan = plan_of(*model.weights, report.type);
  model.metadata.set("general.file_type", report.plan.file_type);
  const auto outputs = outputs_of(report.plan);
  report.files = gguf::plan_gguf(settings.output, model.metadata, outputs, settings.write);
  guard_inputs(settings, report.files);
  const auto sink = gguf::create_gguf(settings.output, model.metadata, outputs, settings.write);
  stages::encode_tensors({*model.weights, report.plan, PlanImportance(), *sink}, settings.encode, progress,
                         stop);
  sink->commit();
  return report;
}

}  // namespace tessera::pipeline
