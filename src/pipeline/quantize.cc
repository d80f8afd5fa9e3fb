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
#include "pipeline/cache_folder.h"
#include "pipeline/evaluate.h"
#include "pipeline/file_hashes.h"
#include "pipeline/output_guard.h"
#include "pipeline/output_metadata.h"
#include "pipeline/work_folder.h"
#include "stages/match_importance.h"

namespace tessera::pipeline {
namespace {

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

void warn_of_plan(const QuantPlan& plan, ProgressObserver& progress) {
  for (const auto& pattern : plan.unmatched_patterns) {
    progress.warn(fmt::format("--tensor-type: no tensor's name matches '{}'", pattern));
  }
  warn_of_fallbacks(plan, progress);
  warn_of_low_quality(plan, progress);
}

PlanImportance read_importance(const QuantizeSettings& settings, const QuantPlan& plan,
                               ProgressObserver& progress) {
  if (!settings.imatrix) return {};
  const auto matrix = imatrix::read_imatrix(*settings.imatrix);
  return stages::match_importance(plan, matrix, settings.imatrix->string(), progress);
}

/// By a recipe, from headers alone.
void plan_by_recipe(const QuantizeSettings& settings, const model::OpenedModel& model, QuantizeReport& report,
                    ProgressObserver& progress) {
  const auto choice = type_choice(settings);
  const auto facts = model::facts_of(model.metadata, model.weights->tensors());
  report.plan = stages::choose_types(model.weights->tensors(), facts, choice);
  if (!settings.allow_requantize) stages::refuse_requantization(report.plan);
  report.importance = read_importance(settings, report.plan, progress);
  const bool insists = choice.recipe.needs_imatrix && !settings.pure;
  stages::require_importance(report.plan, report.importance,
                             insists ? std::optional(choice.recipe.type) : std::nullopt);
  report.settings["type"] = settings.type;
}

void plan_from_file(const QuantizeSettings& settings, const model::OpenedModel& model, QuantizeReport& report,
                    ProgressObserver& progress) {
  const auto document = read_plan(*settings.plan_file);
  report.plan = apply_plan(document, model.weights->tensors());
  if (!settings.allow_requantize) stages::refuse_requantization(report.plan);
  report.importance = read_importance(settings, report.plan, progress);
  stages::require_importance(report.plan, report.importance, std::nullopt);
  report.header = document.header;
  report.settings["plan"] = settings.plan_file->string();
}

PlanHeader header_of(const DynamicSettings& dynamic, const QuantPlan& plan, SensitivityMethod method) {
  return {.profile = dynamic.policy.profile,
          .target = text_of(dynamic.target),
          .predicted_loss = predicted_loss_of(plan),
          .sensitivity = method};
}

std::uint64_t bytes_of(const std::vector<gguf::PlannedFile>& files) {
  std::uint64_t bytes = 0;
  for (const auto& file : files) bytes += file.bytes;
  return bytes;
}

void plan_dynamically(const QuantizeSettings& settings, const WorkFolder& work, const model::OpenedModel& model,
                      QuantizeReport& report, ProgressObserver& progress, const StopFlag& stop) {
  auto dynamic = *settings.dynamic;
  if (!dynamic.checkpoint && !settings.dry_run) dynamic.checkpoint = work.path();
  if (!settings.allow_requantize) stages::refuse_quantized_source(model.weights->tensors());
  const auto file_bytes = [&](const QuantPlan& plan, const PlanImportance& importance,
                              SensitivityMethod method) {
    const DynamicOrigin origin{header_of(dynamic, plan, method), report.provenance};
    const auto metadata = output_metadata(model.metadata, settings.model, plan, importance, origin);
    return bytes_of(gguf::plan_gguf(settings.output, metadata, outputs_of(plan), settings.write));
  };
  auto made = make_dynamic_plan(dynamic,
                                {.path = settings.model,
                                 .model = model,
                                 .open = settings.open,
                                 .imatrix = settings.imatrix,
                                 .encoder = settings.encode.encoder,
                                 .threads = settings.encode.threads,
                                 .file_bytes = file_bytes},
                                progress, stop);
  report.plan = std::move(made.plan);
  report.importance = std::move(made.importance);
  report.header = header_of(dynamic, report.plan, made.sensitivity.method);
  report.times = std::move(made.times);
  std::vector<std::string> candidates;
  for (const auto type : dynamic.policy.candidates) candidates.emplace_back(name_of(type));
  report.settings = {{"profile", dynamic.policy.profile},
                     {"target", report.header.target},
                     {"sensitivity", name_of(made.sensitivity.method)},
                     {"candidates", candidates}};
  report.dynamic = DynamicReport{std::move(made.sensitivity), std::move(made.curve), std::move(made.uniform)};
}

void make_plan(const QuantizeSettings& settings, const WorkFolder& work, const model::OpenedModel& model,
               QuantizeReport& report, ProgressObserver& progress, const StopFlag& stop) {
  if (settings.dynamic) {
    plan_dynamically(settings, work, model, report, progress, stop);
  } else if (settings.plan_file) {
    plan_from_file(settings, model, report, progress);
  } else {
    plan_by_recipe(settings, model, report, progress);
  }
  report.settings["encoder"] = name_of(settings.encode.encoder);
  warn_of_plan(report.plan, progress);
}

std::vector<ProvenanceFile> provenance_of(const QuantizeSettings& settings, ProgressObserver& progress,
                                          const StopFlag& stop) {
  std::vector<ProvenanceFile> files;
  for (const auto& file : files_of_model(settings.model)) files.push_back({"model", file});
  if (settings.imatrix) files.push_back({"imatrix", *settings.imatrix});
  if (settings.dynamic) {
    for (const auto& file : settings.dynamic->corpus.files) files.push_back({"calibration text", file.path});
  }
  if (settings.config_file) files.push_back({"config", *settings.config_file});
  if (settings.plan_file) files.push_back({"plan", *settings.plan_file});
  std::vector<std::filesystem::path> paths;
  for (const auto& file : files) paths.push_back(file.path);
  const auto hashes = FileHashes({default_cache_folder(), settings.encode.threads}, progress, stop)
                          .of(paths, "hash inputs");
  for (std::size_t i = 0; i < files.size(); ++i) {
    files[i].bytes = std::filesystem::file_size(paths[i]);
    files[i].xxh128 = hashes[i].text();
  }
  return files;
}

void guard_inputs(const QuantizeSettings& settings, const std::vector<gguf::PlannedFile>& files) {
  auto inputs = files_of_model(settings.model);
  if (settings.imatrix) inputs.push_back(*settings.imatrix);
  if (settings.plan_file) inputs.push_back(*settings.plan_file);
  if (settings.config_file) inputs.push_back(*settings.config_file);
  if (settings.dynamic) {
    for (const auto& file : settings.dynamic->corpus.files) inputs.push_back(file.path);
  }
  for (const auto& file : settings.evaluation.files) inputs.push_back(file.path);
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
  text += to_json(report.provenance, PathForm::as_given).dump();
  return hash_text(text);
}

void evaluate_output(const QuantizeSettings& settings, QuantizeReport& report, ProgressObserver& progress,
                     const StopFlag& stop) {
  EvaluateSettings evaluation{.model = settings.model,
                              .quantized = report.files.front().path,
                              .open = settings.open,
                              .corpus = settings.evaluation};
  evaluation.threads = settings.encode.threads;
  if (settings.dynamic) {
    evaluation.precision = settings.dynamic->precision;
    evaluation.memory_bytes = settings.dynamic->memory_bytes;
    evaluation.scratch_folder = settings.dynamic->scratch_folder;
  }
  report.evaluation = timed(report.times, "evaluate", [&] { return evaluate(evaluation, progress, stop); });
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
  if (settings.dynamic || settings.wants_provenance)
    report.provenance = provenance_of(settings, progress, stop);
  const WorkFolder work(settings.output);
  make_plan(settings, work, model, report, progress, stop);
  const auto origin = settings.dynamic ? std::optional(DynamicOrigin{report.header, report.provenance})
                                       : std::nullopt;
  const auto metadata =
      output_metadata(model.metadata, settings.model, report.plan, report.importance, origin);
  report.files = gguf::plan_gguf(settings.output, metadata, outputs_of(report.plan), settings.write);
  report.header.file_bytes = bytes_of(report.files);
  report.header.model = settings.model.string();
  guard_inputs(settings, report.files);
  if (settings.dry_run) return report;
  timed(report.times, "encode", [&] {
    encode_with_checkpoints(settings, *model.weights, metadata, report, progress, stop);
    return 0;
  });
  work.finish();
  if (!settings.evaluation.files.empty()) evaluate_output(settings, report, progress, stop);
  return report;
}

}  // namespace tessera::pipeline
