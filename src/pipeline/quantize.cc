#include "pipeline/quantize.h"

#include <fmt/format.h>

#include "artifacts/super_weight_list.h"
#include "foundation/base/error.h"
#include "foundation/base/hash.h"
#include "model/forward/decoder_config.h"
#include "model/source/open_model.h"
#include "pipeline/cache_folder.h"
#include "pipeline/encode_output.h"
#include "pipeline/evaluate.h"
#include "pipeline/file_hashes.h"
#include "pipeline/make_plan.h"
#include "pipeline/output_guard.h"
#include "pipeline/output_metadata.h"
#include "pipeline/work_folder.h"

namespace tessera::pipeline {
namespace {

std::vector<ProvenanceFile> hashed(std::vector<ProvenanceFile> files, const QuantizeSettings& settings,
                                   ProgressObserver& progress, const StopFlag& stop) {
  // A plan from headers alone is to take seconds, whatever the size of the model.
  if (!settings.dry_run || !settings.walks.corpus.files.empty())
    return pipeline::hashed(std::move(files), settings.encode.threads, progress, stop);
  for (auto& file : files) {
    file.bytes = std::filesystem::file_size(file.path);
    file.xxh128 = kNotHashed;
  }
  return files;
}

/// What the output is made from.
std::vector<ProvenanceFile> provenance_of(const QuantizeSettings& settings, ProgressObserver& progress,
                                          const StopFlag& stop) {
  std::vector<ProvenanceFile> files;
  for (const auto& file : files_that_decide(settings.model)) files.push_back({"model", file});
  if (settings.imatrix) files.push_back({"imatrix", *settings.imatrix});
  for (const auto& file : settings.walks.corpus.files) files.push_back({"calibration text", file.path});
  if (settings.config_file) files.push_back({"config", *settings.config_file});
  if (settings.plan_file) files.push_back({"plan", *settings.plan_file});
  if (settings.protection && settings.protection->list)
    files.push_back({"super weights", *settings.protection->list});
  return hashed(std::move(files), settings, progress, stop);
}

/// Beside the model.
std::vector<std::filesystem::path> named_inputs(const QuantizeSettings& settings) {
  std::vector<std::filesystem::path> inputs;
  if (settings.imatrix) inputs.push_back(*settings.imatrix);
  if (settings.plan_file) inputs.push_back(*settings.plan_file);
  if (settings.config_file) inputs.push_back(*settings.config_file);
  if (settings.protection && settings.protection->list) inputs.push_back(*settings.protection->list);
  for (const auto& file : settings.walks.corpus.files) inputs.push_back(file.path);
  for (const auto& file : settings.evaluation.files) inputs.push_back(file.path);
  return inputs;
}

/// Path, size and time of change: a changed input makes another run.
std::string identity_of(const std::filesystem::path& file) {
  std::error_code unreadable;
  const auto size = std::filesystem::file_size(file, unreadable);
  const auto changed = std::filesystem::last_write_time(file, unreadable).time_since_epoch().count();
  return fmt::format("{} {} {}\n", file.string(), size, changed);
}

/// Stands for everything that decides the bytes of the output.
std::uint64_t fingerprint_of(const QuantizeSettings& settings, const model::OpenedModel& model,
                             const Protection* protection, const QuantizeReport& report) {
  std::string text = fmt::format("{} {} {}\n", TESSERA_VERSION, name_of(settings.encode.encoder),
                                 settings.write.split_max_bytes);
  for (const auto& file : files_of_model(settings.model)) text += identity_of(file);
  if (settings.imatrix) text += identity_of(*settings.imatrix);
  text += to_json(report.plan).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (const auto& walks = settings.walks; !walks.corpus.files.empty()) text += text_of(walks);
  if (protection != nullptr) text += protection->fingerprint_text();
  if (settings.feedback) {
    text += fmt::format("{} samples={}", text_of(*settings.feedback, model), settings.walks.feedback_samples);
  }
  for (const auto& file : settings.walks.corpus.files) text += identity_of(file.path);
  return hash_text(text);
}

/// What is asked of super weights, or nothing.
std::optional<Protection> protection_of(const QuantizeSettings& settings, const TextWalkJob& walks,
                                        QuantizeReport& report, ProgressObserver& progress,
                                        const StopFlag& stop) {
  if (!settings.protection) return std::nullopt;
  if (settings.feedback && settings.protection->method != ProtectionMethod::tensor) {
    throw UsageError(
        "--encoder feedback lets other weights make up for what the super weights lose, so these cannot be "
        "treated by themselves afterwards: protect them by --protect-super-weights=tensor, or take the plain "
        "encoder");
  }
  auto list = timed(report.times, "super weights", [&] {
    return list_to_protect(*settings.protection, walks, settings.imatrix, progress, stop);
  });
  auto protection =
      std::make_optional<Protection>(*settings.protection, std::move(list), walks.model, settings.output);
  if (const auto shortfall = protection->shortfall(); !shortfall.empty()) progress.warn(shortfall);
  return protection;
}

/// Tensors that error feedback encodes.
std::vector<bool> encoded_otherwise(const QuantizeSettings& settings, const QuantizeReport& report) {
  return settings.feedback ? feedback_tensors(report.plan) : std::vector<bool>(report.plan.tensors.size());
}

void evaluate_output(const QuantizeSettings& settings, QuantizeReport& report, ProgressObserver& progress,
                     const StopFlag& stop) {
  EvaluateSettings evaluation{.model = settings.model,
                              .quantized = report.files.front().path,
                              .open = settings.open,
                              .corpus = settings.evaluation};
  if (report.super_weights && !report.super_weights->sidecar.empty())
    evaluation.sidecar = report.super_weights->sidecar;
  evaluation.threads = settings.encode.threads;
  evaluation.precision = settings.walks.precision;
  evaluation.memory_bytes = settings.walks.memory_bytes;
  evaluation.scratch_folder = settings.walks.scratch_folder;
  std::vector<ProvenanceFile> texts;
  for (const auto& file : settings.evaluation.files) texts.push_back({"evaluation text", file.path});
  for (auto& text : hashed(std::move(texts), settings, progress, stop))
    report.provenance.push_back(std::move(text));
  report.evaluation = timed(report.times, "evaluate", [&] { return evaluate(evaluation, progress, stop); });
  if (report.super_weights) report.evaluation->super_weight_coverage = report.super_weights->share();
}

}  // namespace

void check_outputs(const QuantizeSettings& settings, const std::vector<std::filesystem::path>& outputs) {
  auto inputs = named_inputs(settings);
  for (auto& file : files_of_model(settings.model)) inputs.push_back(std::move(file));
  refuse_writing_over_inputs(outputs, inputs);
  for (const auto& output : outputs) require_writable_folder(output);
}

QuantizeReport quantize(const QuantizeSettings& settings, ProgressObserver& progress, const StopFlag& stop) {
  const auto model = model::open_model(settings.model, settings.open);
  // What can be refused before hours of walks is refused here.
  require_files(named_inputs(settings));
  if (!settings.dry_run) check_outputs(settings, {settings.output});
  if (!settings.dry_run && !settings.evaluation.files.empty()) model::read_decoder_config(model);
  QuantizeReport report;
  report.model = settings.model.string();
  if (settings.dynamic || settings.wants_provenance)
    report.provenance = provenance_of(settings, progress, stop);
  const WorkFolder work(settings.output);
  auto walks = settings.walks;
  if (!walks.checkpoint && !settings.dry_run) walks.checkpoint = work.path();
  const TextWalkJob walk_job{settings.model,         model, settings.open, walks, settings.encode.encoder,
                             settings.encode.threads};
  auto protection = protection_of(settings, walk_job, report, progress, stop);
  const PlanJob plan_job{settings, walk_job, protection ? &*protection : nullptr, progress, stop};
  make_plan(plan_job, report);
  const auto dynamic =
      settings.dynamic ? std::optional(DynamicOrigin{report.header, report.provenance}) : std::nullopt;
  const auto metadata =
      output_metadata(model.metadata, report.plan, report.importance, origin_of(plan_job, dynamic));
  const auto protected_weights =
      protection ? protection->blocks_of(report.plan, encoded_otherwise(settings, report)) : PlanProtection();
  if (protection) report.super_weights = protection->coverage_of(report.plan, protected_weights);
  report.files = gguf::plan_gguf(settings.output, metadata, outputs_of(report.plan), settings.write);
  report.header.file_bytes = bytes_of(report.files);
  report.header.model = settings.model.string();
  if (settings.dry_run) return report;
  std::vector<std::filesystem::path> outputs;
  for (const auto& file : report.files) outputs.push_back(file.path);
  auto written = outputs;
  if (report.super_weights && !report.super_weights->sidecar.empty())
    written.push_back(report.super_weights->sidecar);
  check_outputs(settings, written);
  timed(report.times, "encode", [&] {
    encode_output({settings, walk_job, metadata, protected_weights,
                   fingerprint_of(settings, model, plan_job.protection, report)},
                  report, progress, stop);
    return 0;
  });
  if (protection) {
    protection->finish(outputs, settings.encode.threads, *report.super_weights, progress, stop);
  }
  work.finish();
  if (!settings.evaluation.files.empty()) evaluate_output(settings, report, progress, stop);
  return report;
}

}  // namespace tessera::pipeline
