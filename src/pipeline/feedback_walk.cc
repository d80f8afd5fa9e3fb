#include "pipeline/feedback_walk.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/architecture/model_facts.h"
#include "model/forward/decoder_config.h"
#include "model/forward/paired_pass.h"
#include "pipeline/feedback_encoding.h"
#include "pipeline/layer_progress.h"

namespace tessera::pipeline {
namespace {

constexpr const char* kReference = "reference";
constexpr const char* kReplaced = "replaced";
constexpr const char* kOutcomes = "outcomes";

/// Texts of one source with fewer tokens than this are warned of.
constexpr std::uint64_t kFewTokens = 100000;

/// Batches of windows for one that the original model is taken through as well: the drift D gains less from
/// more tokens than the Hessian. An expert sees a part of the tokens alone: mixtures take all batches.
constexpr std::size_t kReferenceEvery = 3;

bool is_of_layer(model::TensorRole role) {
  using enum model::TensorRole;
  constexpr std::array kRoles = {attention_query, attention_key, attention_value, attention_output,
                                 ffn_gate,        ffn_up,        ffn_down};
  return std::ranges::find(kRoles, role) != kRoles.end();
}

class FeedbackWalk {
 public:
  FeedbackWalk(const FeedbackJob& job, const FeedbackSettings& settings, ProgressObserver& progress,
               const StopFlag& stop)
      : job_(job),
        settings_(settings),
        progress_(progress),
        stop_(stop),
        config_(model::read_decoder_config(job.walks.model)),
        windows_(
            windows_of(job.walks, first_windows(job.walks, job.walks.settings.feedback_samples), progress)),
        pass_(*job.walks.model.weights, config_, {windows_.tokens, windows_.context}, paired_settings()),
        encoding_(job, settings, pass_, progress, stop) {}

  FeedbackOutcomes run() {
    warn_of_single_source();
    LayerProgress layers("error feedback", progress_);
    layers.add(pass_.loader(), config_.layers);
    layers.begin();
    layers.walk(pass_.loader(), restore(), config_.layers,
                [&](std::uint32_t layer, const model::WindowsDone& done) { run_layer(layer, done); });
    run_input({pass_.output_reader()},
              [&](const model::PairedRowsSink& sink) { pass_.show_output(sink, stop_); });
    layers.end();
    warn_of_shared_experts();
    for (auto& time : encoding_.times()) job_.times.push_back(std::move(time));
    return std::move(encoding_.outcomes());
  }

 private:
  model::PairedSettings paired_settings() const {
    return {.forward = forward_settings(job_.walks),
            .sequential = settings_.sequential,
            .reference_every = config_.mixture ? 1 : kReferenceEvery};
  }

  void warn_of_single_source() const {
    const std::uint64_t tokens = windows_.tokens.size();
    if (job_.walks.settings.corpus.files.size() > 1 || tokens >= kFewTokens) return;
    progress_.warn(
        fmt::format("error feedback is fitted to {} tokens of one text; on other kinds of text the model may "
                    "be worse than "
                    "it could be: give texts of several kinds (-f A -f B), and more of them",
                    tokens));
  }

  void warn_of_shared_experts() {
    std::uint64_t sharing = 0, all = 0;
    for (const auto& [tensor, outcome] : encoding_.outcomes()) {
      const auto& shape = job_.plan.tensors[tensor].source.shape;
      sharing += outcome.shared_experts.size();
      if (shape.size() == 3) all += shape.front();
    }
    if (sharing == 0) return;
    progress_.warn(fmt::format(
        "{} of {} matrices of experts were encoded with the statistics of all experts of their "
        "layer: too few tokens passed them (--expert-tokens {:g} for each column). More text helps "
        "(--samples, --feedback-samples); the report lists them",
        sharing, all, settings_.expert_tokens));
  }

  std::uint32_t restore() {
    const std::uint32_t finished = job_.checkpoint.finished();
    if (finished == 0) {
      pass_.embed();
      return 0;
    }
    job_.checkpoint.restore(kReference, pass_.reference());
    if (settings_.sequential) job_.checkpoint.restore(kReplaced, pass_.replaced());
    encoding_.outcomes() = parse_feedback_outcomes(job_.checkpoint.blob(kOutcomes), job_.plan.tensors.size(),
                                                   "the checkpoint's outcomes");
    return finished;
  }

  void run_layer(std::uint32_t layer, const model::WindowsDone& done) {
    pass_.begin_layer(layer);
    const std::size_t experts = config_.mixture ? config_.mixture->experts : 0;
    const std::size_t total = model::kLayerInputs.size() + model::kExpertInputs.size() * experts;
    std::size_t steps = 0;
    const auto step_done = [&] { done(++steps, total); };
    for (const auto input : model::kLayerInputs) {
      run_input(pass_.readers(input),
                [&](const model::PairedRowsSink& sink) { pass_.show(input, sink, stop_); });
      step_done();
    }
    if (experts > 0) {
      for (const auto input : model::kExpertInputs) run_experts(input, step_done);
    }
    encoding_.pass_by([&] { pass_.end_layer(stop_); });
    keep(layer + 1);
  }

  template <class Show>
  void run_input(const std::vector<std::size_t>& readers, const Show& show) {
    if (!encoding_.wants(readers)) {
      encoding_.pass_by([&] { show({}); });
      return;
    }
    auto sums = encoding_.sums_for(readers);
    encoding_.gather(sums, show);
    encoding_.encode(sums, {readers});
    for (const std::size_t tensor : readers) encoding_.finish(tensor);
  }

  /// Experts with enough tokens have moments of their own. The others come last: theirs are those of all.
  template <class StepDone>
  void run_experts(model::LayerInput input, const StepDone& step_done) {
    const auto readers = pass_.expert_readers(input);
    if (!encoding_.wants(readers)) return;
    const auto show = [&](std::uint32_t expert) {
      return
          [&, expert](const model::PairedRowsSink& sink) { pass_.show_expert(input, expert, sink, stop_); };
    };
    const auto [own, sharing] = divide_experts(job_.plan.tensors[readers.front()].source.columns());
    std::optional<stages::MomentSums> shared;
    if (!sharing.empty()) shared.emplace(encoding_.sums_for(readers));
    for (const std::uint32_t expert : own) {
      auto sums = encoding_.sums_for(readers);
      encoding_.gather(sums, show(expert));
      if (shared) shared->add(sums);
      encoding_.encode(sums, {readers, {expert}});
      step_done();
    }
    for (const std::uint32_t expert : sharing) {
      encoding_.gather(*shared, show(expert));
      step_done();
    }
    if (shared) encoding_.encode(*shared, {readers, sharing, true});
    for (const std::size_t tensor : readers) encoding_.finish(tensor);
  }

  struct DividedExperts {
    std::vector<std::uint32_t> own, sharing;
  };

  /// By whether they have tokens enough for moments of an input of so many columns.
  DividedExperts divide_experts(std::uint64_t columns) const {
    DividedExperts experts;
    const double enough = std::max(1.0, settings_.expert_tokens * static_cast<double>(columns));
    const auto tokens = pass_.expert_tokens();
    for (std::uint32_t expert = 0; expert < tokens.size(); ++expert)
      (static_cast<double>(tokens[expert]) >= enough ? experts.own : experts.sharing).push_back(expert);
    return experts;
  }

  void keep(std::uint32_t layers) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_kept_ < job_.checkpoint_interval) return;
    last_kept_ = now;
    job_.layer_done();
    if (!job_.checkpoint.keeps()) return;
    std::vector<std::string> names{kReference, kOutcomes};
    job_.checkpoint.keep(kReference, pass_.reference());
    if (settings_.sequential) {
      job_.checkpoint.keep(kReplaced, pass_.replaced());
      names.emplace_back(kReplaced);
    }
    const std::string text = to_text(encoding_.outcomes());
    job_.checkpoint.keep(kOutcomes, std::as_bytes(std::span(text)));
    job_.checkpoint.commit(layers, std::move(names));
  }

  const FeedbackJob& job_;
  const FeedbackSettings& settings_;
  ProgressObserver& progress_;
  const StopFlag& stop_;
  model::DecoderConfig config_;
  model::TokenWindows windows_;
  model::PairedPass pass_;
  FeedbackEncoding encoding_;
  std::chrono::steady_clock::time_point last_kept_ = std::chrono::steady_clock::now();
};

}  // namespace

std::string text_of(const FeedbackSettings& settings, const model::OpenedModel& model) {
  auto text = fmt::format("sweeps={} damping={:g} sequential={}", settings.sweeps, settings.damping,
                          settings.sequential);
  if (model::facts_of(model.metadata, model.weights->tensors()).experts > 0)
    text += fmt::format(" expert_tokens={:g}", settings.expert_tokens);
  return text;
}

stages::FeedbackEncodeSettings encode_settings(const TextWalkJob& job, const FeedbackSettings& settings) {
  return {.sweeps = settings.sweeps,
          .damping = settings.damping,
          .precision = kernels::resolve_precision(job.settings.precision),
          .threads = job.threads};
}

bool is_reached_by_feedback(const TensorDescriptor& tensor) {
  const auto place = model::place_of(tensor.name);
  const bool is_matrix_or_experts = tensor.shape.size() == 2 || tensor.shape.size() == 3;
  return tensor.name.ends_with(".weight") && is_matrix_or_experts &&
         (place.role == model::TensorRole::output || (place.layer && is_of_layer(place.role)));
}

std::vector<bool> feedback_tensors(const QuantPlan& plan) {
  std::vector<bool> wanted;
  for (const auto& tensor : plan.tensors) {
    wanted.push_back(is_reached_by_feedback(tensor.source) && !tensor.is_copied() &&
                     info(tensor.target).quantized);
  }
  return wanted;
}

FeedbackOutcomes encode_with_feedback(const FeedbackJob& job, const FeedbackSettings& settings,
                                      ProgressObserver& progress, const StopFlag& stop) {
  return FeedbackWalk(job, settings, progress, stop).run();
}

}  // namespace tessera::pipeline
