#include "pipeline/feedback_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/gguf_writer.h"
#include "model/forward/decoder_config.h"
#include "model/forward/paired_pass.h"
#include "pipeline/layer_progress.h"
#include "stages/gather_moments.h"

namespace tessera::pipeline {
namespace {

constexpr const char* kReference = "reference";
constexpr const char* kReplaced = "replaced";
constexpr const char* kOutcomes = "outcomes";

/// Texts of one source with fewer tokens than this are warned of.
constexpr std::uint64_t kFewTokens = 100000;

/// Batches of windows for one that the original model is taken through as well: the drift D gains less from
/// more tokens than the Hessian.
constexpr std::size_t kReferenceEvery = 3;

bool is_of_layer(model::TensorRole role) {
  using enum model::TensorRole;
  constexpr std::array kRoles = {attention_query, attention_key, attention_value, attention_output,
                                 ffn_gate,        ffn_up,        ffn_down};
  return std::ranges::find(kRoles, role) != kRoles.end();
}

nlohmann::json to_json(const FeedbackOutcome& outcome) {
  const auto& sums = outcome.error.sums;
  return {sums.error,
          sums.energy,
          sums.weighted_error,
          sums.weighted_energy,
          outcome.output_error,
          outcome.sampled_output_error,
          outcome.plain_output_error,
          outcome.rows,
          outcome.plain_rows,
          outcome.damping};
}

FeedbackOutcome outcome_of(const nlohmann::json& values) {
  FeedbackOutcome outcome;
  outcome.error = {{values.at(0), values.at(1), values.at(2), values.at(3)}, true};
  outcome.output_error = values.at(4);
  outcome.sampled_output_error = values.at(5);
  outcome.plain_output_error = values.at(6);
  outcome.rows = values.at(7);
  outcome.plain_rows = values.at(8);
  outcome.damping = values.at(9);
  return outcome;
}

void keep_moments(const std::filesystem::path& folder, const InputMoments& moments,
                  const std::vector<std::string>& readers) {
  std::filesystem::create_directories(folder);
  const std::uint64_t n = moments.columns;
  gguf::Metadata metadata;
  metadata.set("general.type", std::string("hessian"));
  metadata.set("tessera.hessian.tensors", readers);
  metadata.set("tessera.hessian.tokens", moments.tokens);
  std::vector<TensorDescriptor> tensors{{"hessian", ElementType::F32, {n, n}}};
  std::vector<std::span<const float>> values{moments.second};
  const auto add = [&](const char* name, const std::vector<float>& matrix) {
    if (matrix.empty()) return;
    tensors.push_back({name, ElementType::F32, {n, n}});
    values.emplace_back(matrix);
  };
  add("drift", moments.drift);
  add("drift_hessian", moments.paired_second);
  const auto file = folder / fmt::format("{}.hessian.gguf", readers.front());
  const auto sink = gguf::create_gguf(file, metadata, tensors);
  for (std::size_t i = 0; i < values.size(); ++i) sink->write_rows(i, 0, std::as_bytes(values[i]));
  sink->commit();
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
        wanted_(feedback_tensors(job.plan)) {}

  std::map<std::size_t, FeedbackOutcome> run() {
    warn_of_single_source();
    LayerProgress layers("error feedback", progress_);
    layers.add(pass_.loader(), config_.layers);
    layers.begin();
    layers.walk(pass_.loader(), restore(), config_.layers,
                [&](std::uint32_t layer, const model::WindowsDone& done) { run_layer(layer, done); });
    run_output();
    layers.end();
    job_.times.push_back({"feedback: forward, both streams", whole_.seconds() - moments_.seconds()});
    job_.times.push_back({"feedback: second moments", moments_.seconds() + means_.seconds()});
    job_.times.push_back({"feedback: factorization", factors_.seconds()});
    job_.times.push_back({"feedback: encoding", encoding_.seconds()});
    return std::move(outcomes_);
  }

 private:
  model::PairedSettings paired_settings() const {
    return {.forward = forward_settings(job_.walks),
            .sequential = settings_.sequential,
            .reference_every = kReferenceEvery};
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

  std::uint32_t restore() {
    const std::uint32_t finished = job_.checkpoint.finished();
    if (finished == 0) {
      pass_.embed();
      return 0;
    }
    job_.checkpoint.restore(kReference, pass_.reference());
    if (settings_.sequential) job_.checkpoint.restore(kReplaced, pass_.replaced());
    const auto bytes = job_.checkpoint.blob(kOutcomes);
    const auto kept = nlohmann::json::parse(reinterpret_cast<const char*>(bytes.data()),
                                            reinterpret_cast<const char*>(bytes.data()) + bytes.size());
    for (const auto& [tensor, values] : kept.items()) outcomes_[std::stoul(tensor)] = outcome_of(values);
    return finished;
  }

  void run_layer(std::uint32_t layer, const model::WindowsDone& done) {
    pass_.begin_layer(layer);
    std::size_t steps = 0;
    const std::size_t total = 2 * model::kLayerInputs.size();
    for (const auto input : model::kLayerInputs) {
      auto moments = gather(pass_.readers(input),
                            [&](const model::PairedRowsSink& sink) { pass_.show(input, sink, stop_); });
      done(++steps, total);
      encode(pass_.readers(input), std::move(moments), true);
      done(++steps, total);
    }
    whole_.measure([&] { pass_.end_layer(stop_); });
    keep(layer + 1);
  }

  void run_output() {
    const std::vector<std::size_t> readers{pass_.output_reader()};
    if (!wanted_[readers.front()]) return;
    auto moments =
        gather(readers, [&](const model::PairedRowsSink& sink) { pass_.show_output(sink, stop_); });
    encode(readers, std::move(moments), false);
  }

  /// Empty when no reader is to be encoded.
  template <class Show>
  std::optional<InputMoments> gather(const std::vector<std::size_t>& readers, const Show& show) {
    if (std::ranges::none_of(readers, [&](std::size_t tensor) { return wanted_[tensor]; })) {
      whole_.measure([&] { show({}); });
      return std::nullopt;
    }
    const auto& tensors = job_.plan.tensors;
    stages::MomentSums sums(tensors[readers.front()].source.columns(),
                            {.drift = settings_.sequential, .threads = job_.walks.threads});
    whole_.measure(
        [&] { show([&](const model::PairedRows& rows) { moments_.measure([&] { sums.add(rows); }); }); });
    std::vector<std::string> names;
    for (const std::size_t tensor : readers) names.push_back(tensors[tensor].source.name);
    auto moments = means_.measure([&] { return sums.take(job_.walks.path.string(), names); });
    if (settings_.keep_hessians) keep_moments(*settings_.keep_hessians, moments, names);
    return moments;
  }

  void encode(const std::vector<std::size_t>& readers, std::optional<InputMoments> moments, bool replace) {
    if (!moments) return;
    std::uint64_t rows = 0;
    for (const std::size_t tensor : readers) {
      if (wanted_[tensor]) rows += job_.plan.tensors[tensor].source.rows();
    }
    const auto encoder = factors_.measure([&] {
      return stages::FeedbackEncoder(std::move(*moments), rows, encode_settings(job_.walks, settings_));
    });
    for (const std::size_t tensor : readers) {
      if (wanted_[tensor]) encode_tensor(encoder, tensor, replace && settings_.sequential);
    }
  }

  void encode_tensor(const stages::FeedbackEncoder& encoder, std::size_t tensor, bool replace) {
    const auto& planned = job_.plan.tensors[tensor];
    std::vector<float> decoded(replace ? planned.source.weights() : 0);
    const auto sink = [&](const stages::EncodedRows& rows) {
      job_.sink.write_rows(tensor, rows.rows.first, rows.blocks);
      if (replace) {
        std::ranges::copy(rows.decoded, decoded.begin() + static_cast<std::ptrdiff_t>(
                                                              rows.rows.first * planned.source.columns()));
      }
    };
    const auto outcome = encoding_.measure(
        [&] { return encoder.encode(*job_.walks.model.weights, tensor, planned.target, sink, stop_); });
    if (replace) pass_.replace(tensor, decoded);
    report(planned, outcome);
    outcomes_[tensor] = outcome;
    job_.tensor_done(tensor, outcome);
  }

  void report(const PlannedTensor& planned, const FeedbackOutcome& outcome) {
    const auto name = printable(planned.source.name);
    if (outcome.damping > settings_.damping * 1.5) {
      progress_.warn(fmt::format(
          "{}: its inputs on the calibration text depend on each other so much that their Hessian needed a "
          "damping of {:g} instead of {:g}; more or other text helps",
          name, outcome.damping, settings_.damping));
    }
    progress_.item_done(fmt::format("{}: {} -> {}, output error {:.3f} of that without feedback", name,
                                    name_of(planned.source.type), name_of(planned.target), outcome.ratio()));
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
    auto outcomes = nlohmann::json::object();
    for (const auto& [tensor, outcome] : outcomes_) outcomes[std::to_string(tensor)] = to_json(outcome);
    const std::string text = outcomes.dump();
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
  std::vector<bool> wanted_;
  std::map<std::size_t, FeedbackOutcome> outcomes_;
  std::chrono::steady_clock::time_point last_kept_ = std::chrono::steady_clock::now();
  Stopwatch whole_;  ///< forward steps with the moments taken in between
  Stopwatch moments_;
  Stopwatch means_;
  Stopwatch factors_;
  Stopwatch encoding_;
};

}  // namespace

std::string text_of(const FeedbackSettings& settings) {
  return fmt::format("sweeps={} damping={:g} sequential={}", settings.sweeps, settings.damping,
                     settings.sequential);
}

stages::FeedbackEncodeSettings encode_settings(const TextWalkJob& job, const FeedbackSettings& settings) {
  return {.sweeps = settings.sweeps,
          .damping = settings.damping,
          .precision = kernels::resolve_precision(job.settings.precision),
          .threads = job.threads};
}

bool is_reached_by_feedback(const TensorDescriptor& tensor) {
  const auto place = model::place_of(tensor.name);
  return tensor.name.ends_with(".weight") && tensor.shape.size() == 2 &&
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

std::map<std::size_t, FeedbackOutcome> encode_with_feedback(const FeedbackJob& job,
                                                            const FeedbackSettings& settings,
                                                            ProgressObserver& progress,
                                                            const StopFlag& stop) {
  return FeedbackWalk(job, settings, progress, stop).run();
}

}  // namespace tessera::pipeline
