#include "pipeline/smoothing_walk.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/architecture/tensor_name.h"
#include "model/forward/decoder_config.h"
#include "model/forward/paired_pass.h"
#include "pipeline/cache_folder.h"
#include "pipeline/kept_walk.h"
#include "pipeline/layer_progress.h"
#include "pipeline/result_cache.h"
#include "stages/choose_smoothing.h"
#include "stages/gather_magnitudes.h"

namespace tessera::pipeline {
namespace {

constexpr const char* kHidden = "hidden";
constexpr const char* kPlan = "plan";

std::vector<std::byte> bytes_of(const SmoothingPlan& plan) {
  const std::string text = to_json(plan).dump();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

SmoothingPlan plan_from(std::span<const std::byte> bytes, const std::string& file) {
  const auto* const text = reinterpret_cast<const char*>(bytes.data());
  return smoothing_plan_from(nlohmann::json::parse(text, text + bytes.size(), nullptr, false), file);
}

class SmoothingWalk {
 public:
  SmoothingWalk(const TextWalkJob& job, const SmoothingWalkSettings& settings, WalkCheckpoint& checkpoint,
                ProgressObserver& progress, const StopFlag& stop)
      : job_(job),
        settings_(settings),
        checkpoint_(checkpoint),
        progress_(progress),
        stop_(stop),
        rules_(folds_of(job)),
        config_(model::read_decoder_config(job.model)),
        windows_(windows_of(job, job.settings.corpus, progress)),
        pass_(*job.model.weights, config_, {windows_.tokens, windows_.context},
              {.forward = forward_settings(job), .sequential = false}) {}

  SmoothingPlan run() {
    LayerProgress layers("smoothing", progress_);
    layers.add(pass_.loader(), config_.layers);
    layers.begin();
    layers.walk(pass_.loader(), restore(), config_.layers,
                [&](std::uint32_t layer, const model::WindowsDone& done) { run_layer(layer, done); });
    layers.end();
    return std::move(plan_);
  }

 private:
  std::uint32_t restore() {
    const std::uint32_t finished = checkpoint_.finished();
    if (finished == 0) {
      pass_.embed();
    } else {
      checkpoint_.restore(kHidden, pass_.reference());
      plan_ = plan_from(checkpoint_.blob(kPlan), "the checkpoint's plan");
    }
    return finished;
  }

  void run_layer(std::uint32_t layer, const model::WindowsDone& done) {
    pass_.begin_layer(layer);
    std::size_t steps = 0;
    for (const auto input : model::kLayerInputs) {
      const auto readers = pass_.readers(input);
      const model::FoldRule* const rule = rule_of(readers, layer);
      if (rule == nullptr) {
        pass_.show(input, {}, stop_);
      } else {
        decide(*rule, layer, input, readers);
      }
      done(++steps, model::kLayerInputs.size());
    }
    pass_.end_layer(stop_);
    keep(layer + 1);
  }

  const model::FoldRule* rule_of(const std::vector<std::size_t>& readers, std::uint32_t layer) const {
    const auto& name = job_.model.weights->tensors()[readers.front()].name;
    const auto found = std::ranges::find_if(rules_, [&](const model::FoldRule& rule) {
      return model::with_indices(rule.readers.front(), {.layer = layer}) == name;
    });
    return found == rules_.end() ? nullptr : &*found;
  }

  void decide(const model::FoldRule& rule, std::uint32_t layer, model::LayerInput input,
              const std::vector<std::size_t>& readers) {
    const auto& tensors = job_.model.weights->tensors();
    stages::MagnitudeGatherer gatherer(tensors[readers.front()].columns(), windows_.tokens.size(),
                                       {.percentile = settings_.percentile, .threads = job_.threads});
    pass_.show(
        input, [&](const model::PairedRows& rows) { gatherer.add(rows.replaced, rows.tokens); }, stop_);
    std::vector<std::string> names;
    for (const std::size_t reader : readers) names.push_back(tensors[reader].name);
    const auto strength = settings_.config.strength_of(rule.name, layer, config_.layers);
    const stages::FoldInput fold{.rule = rule,
                                 .heads = {.head_size = config_.head_size, .group = config_.group()},
                                 .layer = layer,
                                 .readers = readers,
                                 .channels = channels_of(rule, layer),
                                 .magnitudes = gatherer.take(job_.path.string(), names)};
    plan_.folds.push_back(stages::choose_smoothing(*job_.model.weights, fold, strength,
                                                   {settings_.static_activations, job_.threads}, stop_));
  }

  /// A norm has one for each element, a linear for each row.
  std::uint64_t channels_of(const model::FoldRule& rule, std::uint32_t layer) const {
    const auto name = model::with_indices(rule.carrier, {.layer = layer});
    const auto carrier = job_.model.weights->find(name);
    if (!carrier) {
      throw BadFileError({.file = job_.path.string(), .tensor = name},
                         fmt::format("this tensor is missing, to which the fold '{}' moves its factors; "
                                     "alpha: none leaves the fold alone",
                                     rule.name));
    }
    const auto& tensor = job_.model.weights->tensors()[*carrier];
    return tensor.shape.size() == 1 ? tensor.columns() : tensor.rows();
  }

  void keep(std::uint32_t layers) {
    const auto now = std::chrono::steady_clock::now();
    if (!checkpoint_.keeps() || now - last_kept_ < settings_.checkpoint_interval) return;
    last_kept_ = now;
    checkpoint_.keep(kHidden, pass_.reference());
    checkpoint_.keep(kPlan, bytes_of(plan_));
    checkpoint_.commit(layers, {kHidden, kPlan});
  }

  const TextWalkJob& job_;
  const SmoothingWalkSettings& settings_;
  WalkCheckpoint& checkpoint_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  std::span<const model::FoldRule> rules_;
  model::DecoderConfig config_;
  model::TokenWindows windows_;
  model::PairedPass pass_;
  SmoothingPlan plan_;
  std::chrono::steady_clock::time_point last_kept_ = std::chrono::steady_clock::now();
};

}  // namespace

std::span<const model::FoldRule> folds_of(const TextWalkJob& job) {
  const auto architecture = job.model.metadata.text("general.architecture").value_or("");
  const bool has_experts =
      job.model.metadata.unsigned_integer(fmt::format("{}.expert_count", architecture)).value_or(0) > 0;
  if (has_experts) {
    throw BadFileError({.file = job.path.string()},
                       "it is not known where scales can be folded into a mixture of experts");
  }
  const auto rules = model::smoothing_folds(architecture);
  if (rules.empty()) {
    throw BadFileError(
        {.file = job.path.string()},
        fmt::format("it is not known where scales can be folded into a model of the "
                    "architecture '{}'; known are {}",
                    printable(architecture), fmt::join(model::architectures_with_folds(), ", ")));
  }
  return rules;
}

model::HeadShape heads_of(const model::OpenedModel& model) {
  const auto config = model::read_decoder_config(model);
  return {.head_size = config.head_size, .group = config.group()};
}

SmoothingPlan plan_smoothing(const TextWalkJob& job, const SmoothingWalkSettings& settings,
                             ProgressObserver& progress, const StopFlag& stop) {
  auto identity = identity_of_walk(job, job.settings.corpus, "smoothing", progress, stop);
  identity.options += fmt::format(" {} percentile={:g} static={}", text_of(settings.config),
                                  settings.percentile, settings.static_activations);
  ResultCache cache(job.settings.use_cache ? default_cache_folder() : std::nullopt, progress);
  const auto key = result_key(identity);
  if (const auto cached = cache.find(key)) return plan_from(cached->bytes(), cached->entry_path());
  auto plan = with_checkpoint(job, identity, [&](WalkCheckpoint& checkpoint) {
    return SmoothingWalk(job, settings, checkpoint, progress, stop).run();
  });
  cache.store(key, bytes_of(plan));
  return plan;
}

}  // namespace tessera::pipeline
