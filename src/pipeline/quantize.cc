#include "pipeline/quantize.h"

#include <fmt/format.h>

#include <algorithm>

#include "artifacts/recipe.h"
#include "foundation/base/error.h"
#include "foundation/base/hash.h"
#include "foundation/base/printable.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "model/architecture/model_facts.h"
#include "model/source/open_model.h"
#include "pipeline/output_guard.h"
#include "stages/match_importance.h"

namespace tessera::pipeline {
namespace {

/// general.quantization_version: the layout of today's blocks.
constexpr std::uint32_t kQuantizationVersion = 2;
/// Below this many bits per weight a model visibly suffers, whatever the encoder.
constexpr double kQualityWarningBits = 2.0;

Recipe recipe_named(const std::string& type) {
  if (auto recipe = find_recipe(type)) return std::move(*recipe);
  std::string names;
  for (const auto& recipe : built_in_recipes()) names += (names.empty() ? "" : ", ") + recipe.name;
  throw UsageError(fmt::format("unknown type '{}'; choose one of {}", type, names));
}

stages::TypeChoice type_choice(const QuantizeSettings& settings) {
  stages::TypeChoice choice;
  choice.recipe = recipe_named(settings.type);
  if (settings.pure) choice.pure_type = element_type_from_name(settings.type).value_or(choice.recipe.type);
  choice.output_type = settings.output_type;
  choice.token_embedding_type = settings.token_embedding_type;
  choice.overrides = settings.overrides;
  choice.leave_output = settings.leave_output;
  choice.has_importance = settings.imatrix.has_value();
  return choice;
}

void warn_of_low_quality(const QuantPlan& plan, ProgressObserver& progress) {
  for (const auto& tensor : plan.tensors) {
    if (tensor.is_copied() || info(tensor.target).bits_per_weight() >= kQualityWarningBits) continue;
    progress.warn(
        fmt::format("{} has {} bits per weight: expect a clear loss of quality unless the model was trained "
                    "for it; compare it with "
                    "the original before use",
                    name_of(tensor.target), info(tensor.target).bits_per_weight()));
    return;
  }
}

void warn_of_fallbacks(const QuantPlan& plan, ProgressObserver& progress) {
  const auto is_fallback = [](const PlannedTensor& tensor) { return tensor.wanted.has_value(); };
  const auto count = std::ranges::count_if(plan.tensors, is_fallback);
  if (count == 0) return;
  const auto first = std::ranges::find_if(plan.tensors, is_fallback);
  progress.warn(
      fmt::format("{} of {} tensors have rows that do not fit the wanted type and fall back to a larger one "
                  "(first: {}, {} columns, {} instead of {})",
                  count, plan.tensors.size(), printable(first->source.name), first->source.columns(),
                  name_of(first->target), name_of(*first->wanted)));
}

QuantPlan make_plan(const QuantizeSettings& settings, const model::OpenedModel& model,
                    ProgressObserver& progress) {
  const auto choice = type_choice(settings);
  const auto facts = model::facts_of(model.metadata, model.weights->tensors());
  QuantPlan plan = stages::choose_types(model.weights->tensors(), facts, choice);
  if (!settings.allow_requantize) stages::refuse_requantization(plan);
  for (const auto& pattern : plan.unmatched_patterns) {
    progress.warn(fmt::format("--tensor-type: no tensor's name matches '{}'", pattern));
  }
  warn_of_fallbacks(plan, progress);
  warn_of_low_quality(plan, progress);
  return plan;
}

PlanImportance find_importance(const QuantizeSettings& settings, const QuantPlan& plan,
                               ProgressObserver& progress) {
  PlanImportance importance;
  if (settings.imatrix) {
    const auto matrix = imatrix::read_imatrix(*settings.imatrix);
    importance = stages::match_importance(plan, matrix, settings.imatrix->string(), progress);
  }
  const Recipe& recipe = recipe_named(settings.type);
  const bool insists = recipe.needs_imatrix && !settings.pure;
  stages::require_importance(plan, importance, insists ? std::optional(recipe.type) : std::nullopt);
  return importance;
}

/// The input's keys, unchanged but for those that describe the quantization.
gguf::Metadata output_metadata(const QuantizeSettings& settings, const gguf::Metadata& input,
                               const QuantPlan& plan, const PlanImportance& importance) {
  gguf::Metadata metadata = input;
  for (const char* stale : {"quantize.imatrix.file", "quantize.imatrix.dataset",
                            "quantize.imatrix.entries_count", "quantize.imatrix.chunks_count"}) {
    metadata.erase(stale);
  }
  metadata.set("general.quantization_version", kQuantizationVersion);
  metadata.set("general.file_type", plan.file_type);
  if (const auto& origin = importance.origin) {
    metadata.set("quantize.imatrix.file", origin->file);
    if (!origin->datasets.empty()) metadata.set("quantize.imatrix.dataset", origin->datasets.front());
    metadata.set("quantize.imatrix.entries_count", origin->entry_count);
    if (origin->chunk_count > 0) metadata.set("quantize.imatrix.chunks_count", origin->chunk_count);
  }
  const auto model = settings.model.filename().empty() ? settings.model.parent_path() : settings.model;
  metadata.set("tessera.source", model.filename().string());
  metadata.set("tessera.version", std::string(TESSERA_VERSION));
  return metadata;
}

void guard_inputs(const QuantizeSettings& settings, const std::vector<gguf::PlannedFile>& files) {
  auto inputs = files_of_model(settings.model);
  if (settings.imatrix) inputs.push_back(*settings.imatrix);
  std::vector<std::filesystem::path> outputs;
  outputs.reserve(files.size());
  for (const auto& file : files) outputs.push_back(file.path);
  refuse_writing_over_inputs(outputs, inputs);
}

/// Path, size and time of change: a changed input makes another run.
std::string identity_of(const std::filesystem::path& file) {
  std::error_code unreadable;
  const auto size = std::filesystem::file_size(file, unreadable);
  const auto changed = std::filesystem::last_write_time(file, unreadable).time_since_epoch().count();
  return fmt::format("{} {} {}\n", file.string(), size, changed);
}

/// Stands for everything that decides the bytes of the output.
std::uint64_t fingerprint_of(const QuantizeSettings& settings, const QuantizeReport& report) {
  std::string text = fmt::format("{} {} {}\n", TESSERA_VERSION, name_of(settings.encode.encoder),
                                 settings.write.split_max_bytes);
  for (const auto& file : files_of_model(settings.model)) text += identity_of(file);
  if (settings.imatrix) text += identity_of(*settings.imatrix);
  text += to_json(report.plan).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return hash_text(text);
}

void encode_with_checkpoints(const QuantizeSettings& settings, const WeightSource& weights,
                             const gguf::Metadata& metadata, QuantizeReport& report,
                             ProgressObserver& progress, const StopFlag& stop) {
  Checkpoints checkpoints(report.files, fingerprint_of(settings, report), report.plan.tensors.size(),
                          settings.checkpoints, progress);
  auto write = settings.write;
  write.reopen = checkpoints.resumes();
  const auto sink = gguf::create_gguf(settings.output, metadata, outputs_of(report.plan), write);
  const auto tensor_done = [&](std::size_t tensor, const EncodingError& error) {
    checkpoints.record(tensor, error, *sink);
  };
  try {
    report.errors = stages::encode_tensors(
        {weights, report.plan, report.importance, *sink, checkpoints.finished(), tensor_done},
        settings.encode, progress, stop);
    sink->commit();
    checkpoints.clear();
  } catch (const InterruptedError&) {
    checkpoints.save(*sink);
    throw InterruptedError(
        fmt::format("interrupted; {} of {} tensors are finished, the same command goes on from there",
                    checkpoints.finished_count(), report.plan.tensors.size()));
  } catch (...) {
    sink->abandon();
    checkpoints.clear();
    throw;
  }
}

}  // namespace

QuantizeReport quantize(const QuantizeSettings& settings, ProgressObserver& progress, const StopFlag& stop) {
  const auto model = model::open_model(settings.model, settings.open);
  QuantizeReport report;
  report.model = settings.model.string();
  report.plan = make_plan(settings, model, progress);
  report.importance = find_importance(settings, report.plan, progress);
  const auto metadata = output_metadata(settings, model.metadata, report.plan, report.importance);
  report.files = gguf::plan_gguf(settings.output, metadata, outputs_of(report.plan), settings.write);
  guard_inputs(settings, report.files);
  if (settings.dry_run) return report;
  encode_with_checkpoints(settings, *model.weights, metadata, report, progress, stop);
  return report;
}

nlohmann::json to_json(const QuantizeReport& report) {
  nlohmann::json json = to_json(report.plan);
  json["model"] = report.model;
  json["tessera_version"] = TESSERA_VERSION;
  const auto size = size_of(report.plan);
  json["weights"] = size.weights;
  json["source_bpw"] = size.source_bpw();
  json["bpw"] = size.target_bpw();
  for (std::size_t i = 0; i < report.errors.size(); ++i) {
    const auto& error = report.errors[i];
    json["tensors"][i]["relative_error"] = error.relative();
    if (const auto weighted = error.weighted_relative())
      json["tensors"][i]["weighted_relative_error"] = *weighted;
  }
  for (std::size_t i = 0; i < report.importance.tensors.size(); ++i) {
    const auto& importance = report.importance.tensors[i];
    if (!importance) continue;
    const auto unseen = importance->unseen_experts();
    if (!unseen.empty()) json["tensors"][i]["unseen_experts"] = unseen;
  }
  json["files"] = nlohmann::json::array();
  for (const auto& file : report.files)
    json["files"].push_back({{"path", file.path.string()}, {"bytes", file.bytes}});
  return json;
}

}  // namespace tessera::pipeline
