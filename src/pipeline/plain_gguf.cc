#include "pipeline/plain_gguf.h"

#include "model/source/open_model.h"
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

}  // namespace

bool is_gguf_name(const std::filesystem::path& output) { return output.extension() == ".gguf"; }

PlainGgufReport write_plain_gguf(const WeightSource& weights, gguf::Metadata metadata,
                                 const PlainGgufSettings& settings, ProgressObserver& progress,
                                 const StopFlag& stop) {
  PlainGgufReport report{.plan = plan_of(weights, settings.type), .files = {}};
  metadata.set("general.file_type", report.plan.file_type);
  const auto tensors = outputs_of(report.plan);
  std::vector<std::filesystem::path> outputs;
  for (const auto& file : gguf::plan_gguf(settings.output, metadata, tensors, settings.write)) {
    outputs.push_back(file.path);
    report.files.push_back({file.path, file.bytes});
  }
  refuse_writing_over_inputs(outputs, files_of_model(settings.input));
  const auto sink = gguf::create_gguf(settings.output, metadata, tensors, settings.write);
  stages::encode_tensors({weights, report.plan, PlanImportance(), *sink}, settings.encode, progress, stop);
  sink->commit();
  return report;
}

}  // namespace tessera::pipeline
