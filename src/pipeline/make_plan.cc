#include "pipeline/make_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "artifacts/recipe.h"
#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "model/architecture/model_facts.h"
#include "pipeline/output_metadata.h"
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
  choice.has_importance = settings.imatrix.has_value() || !settings.walks.corpus.files.empty();
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
}

void require_feedback_possible(const PlanJob& job) {
  if (!job.walks.has_texts()) {
    throw UsageError(
        "--encoder feedback learns from text how weights act together: give texts with -f TEXT, best of "
        "several kinds");
  }
  if (const auto obstacle = obstacle_to_walks(job.walks.model)) {
    throw UsageError(fmt::format("--encoder feedback needs a model that can be evaluated: {}", *obstacle));
  }
}

/// From the importance matrix, else from the texts.
PlanImportance find_importance(const PlanJob& job, QuantizeReport& report) {
  const auto& file = job.settings.imatrix;
  if (!file && !job.walks.has_texts()) return {};
  const auto matrix = file ? imatrix::read_imatrix(*file)
                           : importance_of_texts(job.walks, report.times, job.progress, job.stop);
  return stages::match_importance(report.plan, matrix, file ? file->string() : kComputedImportance,
                                  job.progress);
}

/// Importance of what is encoded plainly; error feedback takes its own statistics.
PlanImportance importance_beside_feedback(const PlanJob& job, QuantizeReport& report) {
  if (!job.settings.feedback || job.settings.imatrix) return find_importance(job, report);
  PlanImportance none;
  none.tensors.resize(report.plan.tensors.size());
  return none;
}

/// The plan without what error feedback encodes.
QuantPlan plainly_encoded(const PlanJob& job, const QuantPlan& plan) {
  QuantPlan plain = plan;
  if (!job.settings.feedback) return plain;
  const auto by_feedback = feedback_tensors(plan);
  for (std::size_t i = 0; i < by_feedback.size(); ++i) {
    if (by_feedback[i]) plain.tensors[i].target = plain.tensors[i].source.type;
  }
  return plain;
}

/// By a recipe, from headers alone.
void plan_by_recipe(const PlanJob& job, QuantizeReport& report) {
  const auto& settings = job.settings;
  const auto choice = type_choice(settings);
  report.plan =
      stages::choose_types(job.tensors(), model::facts_of(job.walks.model.metadata, job.tensors()), choice);
  if (!settings.allow_requantize) stages::refuse_requantization(report.plan);
  report.importance = importance_beside_feedback(job, report);
  const bool insists = choice.recipe.needs_imatrix && !settings.pure;
  stages::require_importance(plainly_encoded(job, report.plan), report.importance,
                             insists ? std::optional(choice.recipe.type) : std::nullopt);
  warn_of_low_quality(report.plan, job.progress);
  report.settings["type"] = settings.type;
}

/// With texts, importance is what the dynamic run that made the plan took: the same tensors are written.
void plan_from_file(const PlanJob& job, QuantizeReport& report) {
  const auto document = read_plan(*job.settings.plan_file);
  report.plan = apply_plan(document, job.tensors());
  if (!job.settings.allow_requantize) stages::refuse_requantization(report.plan);
  report.importance = find_importance(job, report);
  if (job.walks.has_texts() && !obstacle_to_gradients(job.walks.model)) {
    fill_importance(*job.walks.model.weights,
                    marginals_of_texts(job.walks, report.times, job.progress, job.stop), report.importance);
  }
  stages::require_importance(plainly_encoded(job, report.plan), report.importance, std::nullopt);
  report.header = document.header;
  report.header.predicted_loss.reset();  // of the plan as it was before anyone edited it
  if (!document.header.encoder.empty() && !job.settings.feedback) {
    job.progress.warn(
        fmt::format("{}: its losses are those of --encoder feedback, which is not given: expect more loss",
                    job.settings.plan_file->string()));
  }
  report.settings["plan"] = job.settings.plan_file->string();
}

PlanHeader header_of(const PlanJob& job, const QuantPlan& plan, SensitivityMethod method) {
  const auto& settings = job.settings;
  const bool counts_on_feedback = settings.feedback && method != SensitivityMethod::prior;
  return {.profile = settings.dynamic->policy.profile,
          .target = text_of(settings.dynamic->target),
          .predicted_loss = predicted_loss_of(plan),
          .sensitivity = method,
          .encoder = counts_on_feedback ? encoder_text(settings, job.walks.model) : std::string()};
}

void plan_dynamically(const PlanJob& job, QuantizeReport& report) {
  const auto& settings = job.settings;
  if (!settings.allow_requantize) stages::refuse_quantized_source(job.tensors());
  auto dynamic = *settings.dynamic;
  if (job.protection != nullptr) job.protection->add_rules(dynamic.policy);
  const auto file_bytes = [&](const QuantPlan& plan, const PlanImportance& importance,
                              SensitivityMethod method) {
    const auto origin = origin_of(job, DynamicOrigin{header_of(job, plan, method), report.provenance});
    const auto metadata = output_metadata(job.walks.model.metadata, plan, importance, origin);
    return bytes_of(gguf::plan_gguf(settings.output, metadata, outputs_of(plan), settings.write));
  };
  const std::uint64_t sidecar_bytes = job.protection != nullptr ? job.protection->sidecar_bytes() : 0;
  auto made =
      make_dynamic_plan(dynamic, {job.walks, settings.imatrix, settings.feedback, file_bytes, sidecar_bytes},
                        job.progress, job.stop);
  report.plan = std::move(made.plan);
  report.importance = std::move(made.importance);
  report.header = header_of(job, report.plan, made.sensitivity.method);
  report.times.insert(report.times.end(), made.times.begin(), made.times.end());
  std::vector<std::string> candidates;
  for (const auto type : dynamic.policy.candidates) candidates.emplace_back(name_of(type));
  report.settings = {{"profile", dynamic.policy.profile},
                     {"target", report.header.target},
                     {"sensitivity", name_of(made.sensitivity.method)},
                     {"candidates", candidates}};
  report.dynamic = DynamicReport{std::move(made.sensitivity), std::move(made.curve), std::move(made.uniform)};
}

}  // namespace

std::uint64_t bytes_of(const std::vector<gguf::PlannedFile>& files) {
  std::uint64_t bytes = 0;
  for (const auto& file : files) bytes += file.bytes;
  return bytes;
}

std::string encoder_text(const QuantizeSettings& settings, const model::OpenedModel& model) {
  if (settings.feedback) return "feedback " + text_of(*settings.feedback, model);
  return std::string(name_of(settings.encode.encoder));
}

OutputOrigin origin_of(const PlanJob& job, std::optional<DynamicOrigin> dynamic) {
  return {.model = job.settings.model,
          .encoder = encoder_text(job.settings, job.walks.model),
          .super_weights = job.protection != nullptr ? job.protection->metadata_text() : "",
          .dynamic = std::move(dynamic)};
}

void make_plan(const PlanJob& job, QuantizeReport& report) {
  if (job.settings.feedback) require_feedback_possible(job);
  if (job.settings.dynamic) {
    plan_dynamically(job, report);
  } else if (job.settings.plan_file) {
    plan_from_file(job, report);
  } else {
    plan_by_recipe(job, report);
  }
  if (job.protection != nullptr) {
    job.protection->change_plan(report.plan);
    report.settings["protect_super_weights"] = name_of(job.settings.protection->method);
  }
  report.settings["encoder"] = encoder_text(job.settings, job.walks.model);
  warn_of_plan(report.plan, job.progress);
}

}  // namespace tessera::pipeline
