#include "pipeline/hf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "foundation/base/atomic_folder.h"
#include "foundation/base/error.h"
#include "foundation/formats/safetensors/safetensors_writer.h"
#include "model/source/hf_names.h"
#include "pipeline/hf_folder_files.h"
#include "pipeline/output_guard.h"

namespace tessera::pipeline {
namespace {

namespace fs = std::filesystem;

bool is_integer(const TensorDescriptor& tensor) { return tensor.type == ElementType::I8; }

QuantPlan plan_of(const WeightSource& hf_weights, ElementType type) {
  QuantPlan plan;
  plan.recipe = name_of(type);
  plan.file_type = model::file_type_of_plain(type);
  for (const TensorDescriptor& tensor : hf_weights.tensors()) {
    const bool kept = is_integer(tensor);
    plan.tensors.push_back({.source = tensor,
                            .place = {},
                            .target = kept ? tensor.type : type,
                            .reason = kept ? ChoiceReason::kept : ChoiceReason::pure});
  }
  return plan;
}

/// The temporary folder is cleared, so neither it nor the output may be where the input lies.
void guard_input(const HfFolderSettings& settings) {
  fs::path output = fs::absolute(settings.output).lexically_normal();
  if (!output.has_filename()) output = output.parent_path();
  const fs::path input = fs::absolute(settings.input);
  refuse_writing_over_inputs({output}, {input, input.parent_path()});
}

std::vector<WrittenFile> files_in(const fs::path& folder) {
  std::vector<WrittenFile> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back({entry.path(), entry.file_size()});
  std::ranges::sort(files, {}, &WrittenFile::path);
  return files;
}

}  // namespace

ElementType own_type_of(const WeightSource& weights) {
  bool all_float32 = true;
  for (const TensorDescriptor& tensor : weights.tensors()) {
    if (tensor.shape.size() < 2 || is_integer(tensor)) continue;
    if (info(tensor.type).quantized) {
      throw UsageError(
          fmt::format("{}: tensor '{}' is stored as {}, which is no plain float; say "
                      "with --type f16, bf16 or f32 what to decode it to",
                      weights.name(), tensor.name, name_of(tensor.type)));
    }
    all_float32 = all_float32 && tensor.type == ElementType::F32;
  }
  return all_float32 ? ElementType::F32 : model::plain_type_of(weights);
}

void check_hf_folder(const WeightSource& weights, const model::OpenedModel& model, const fs::path& input) {
  SilentProgress silent;
  const FolderFiles files = folder_files(weights, model, input, silent);
  model::present_as_hf(weights, model::read_model_config(files.config_object()));
}

HfFolderReport write_hf_folder(const WeightSource& weights, const model::OpenedModel& model,
                               const HfFolderSettings& settings, ProgressObserver& progress,
                               const StopFlag& stop) {
  guard_input(settings);
  HfFolderReport report;
  report.type = settings.type ? *settings.type : own_type_of(weights);
  FolderFiles files = folder_files(weights, model, settings.input, progress);
  const auto hf_weights = model::present_as_hf(weights, model::read_model_config(files.config_object()));
  const bool has_integers = std::ranges::any_of(hf_weights->tensors(), is_integer);
  files.set_type(report.type, settings.type.has_value());
  files.set_quantization(settings.quantization_config, has_integers);

  AtomicFolder folder(settings.output);
  files.write(folder.path());
  report.plan = plan_of(*hf_weights, report.type);
  const auto sink = safetensors::create_safetensors(folder.path(), outputs_of(report.plan),
                                                    {.shard_max_bytes = settings.shard_max_bytes});
  stages::encode_tensors({*hf_weights, report.plan, PlanImportance(), *sink}, settings.encode, progress,
                         stop);
  sink->commit();
  folder.commit();
  report.files = files_in(folder.target());
  return report;
}

}  // namespace tessera::pipeline
