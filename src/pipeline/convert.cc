#include "pipeline/convert.h"

#include <fmt/format.h>

#include "foundation/base/error.h"
#include "pipeline/output_guard.h"

namespace tessera::pipeline {
namespace {

void guard_inputs(const ConvertSettings& settings, const std::vector<gguf::PlannedFile>& files) {
  std::vector<std::filesystem::path> outputs;
  for (const auto& file : files) outputs.push_back(file.path);
  refuse_writing_over_inputs(outputs, files_of_model(settings.model));
}

bool is_gguf_name(const std::filesystem::path& path) { return path.extension() == ".gguf"; }

ConvertReport convert_to_gguf(const ConvertSettings& settings, ProgressObserver& progress,
                              const StopFlag& stop) {
  if (std::filesystem::is_regular_file(settings.model)) {
    throw UsageError(
        fmt::format("{} is a file; of a file, convert makes a folder (quantize makes GGUF files of "
                    "GGUF files): give an output name that does not end in .gguf",
                    settings.model.string()));
  }
  auto model = model::open_model(settings.model, settings.open);
  ConvertReport report;
  report.architecture = model.metadata.text("general.architecture").value_or("");
  report.type = settings.type.value_or(model::plain_type_of(*model.weights));
  report.plan = plain_plan(*model.weights, report.type);
  model.metadata.set("general.file_type", report.plan.file_type);
  const auto outputs = outputs_of(report.plan);
  const auto files = gguf::plan_gguf(settings.output, model.metadata, outputs, settings.write);
  guard_inputs(settings, files);
  for (const auto& file : files) report.files.push_back({file.path, file.bytes});
  const auto sink = gguf::create_gguf(settings.output, model.metadata, outputs, settings.write);
  stages::encode_tensors({*model.weights, report.plan, PlanImportance(), *sink}, settings.encode, progress,
                         stop);
  sink->commit();
  return report;
}

ConvertReport convert_to_folder(const ConvertSettings& settings, ProgressObserver& progress,
                                const StopFlag& stop) {
  const auto model = model::open_model(settings.model, settings.open);
  const auto folder = write_hf_folder(*model.weights, model,
                                      {.input = settings.model,
                                       .output = settings.output,
                                       .type = settings.type,
                                       .shard_max_bytes = settings.shard_max_bytes,
                                       .encode = settings.encode},
                                      progress, stop);
  return {.architecture = model.metadata.text("general.architecture").value_or(""),
          .type = folder.type,
          .plan = folder.plan,
          .files = folder.files};
}

}  // namespace

QuantPlan plain_plan(const WeightSource& weights, ElementType type) {
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

ConvertReport convert(const ConvertSettings& settings, ProgressObserver& progress, const StopFlag& stop) {
  return is_gguf_name(settings.output) ? convert_to_gguf(settings, progress, stop)
                                       : convert_to_folder(settings, progress, stop);
}

}  // namespace tessera::pipeline
