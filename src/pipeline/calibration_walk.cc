#include "pipeline/calibration_walk.h"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>

#include "foundation/base/printable.h"
#include "model/forward/backward_pass.h"
#include "model/forward/fisher_importance.h"
#include "model/forward/gradient_importance.h"
#include "stages/calibrate.h"

namespace tessera::pipeline {
namespace {

using imatrix::ImportanceMethod;

std::string hidden_name(std::uint32_t layer) { return fmt::format("hidden-{}", layer); }
constexpr const char* kGradients = "gradients";

CalibrationStatistics walk_forward(model::ForwardPass& pass, const WalkSettings& settings,
                                   WalkCheckpoint& checkpoint, LayerProgress& progress,
                                   const StopFlag& stop) {
  const std::uint32_t first = checkpoint.finished();
  CalibrationStatistics statistics;
  if (first == 0) {
    pass.embed();
  } else {
    checkpoint.restore(hidden_name(first), pass.states());
    statistics = checkpoint.statistics();
  }
  stages::InputStatistics observer(pass.loader().source(), pass.lanes());
  progress.walk(pass.loader(), first, pass.config().layers,
                [&](std::uint32_t layer, const model::WindowsDone& done) {
                  pass.run_layer(pass.loader().layer(layer), layer, &observer, stop, done);
                  observer.collect(statistics);
                  checkpoint.keep(hidden_name(layer + 1), pass.states());
                  checkpoint.keep(statistics);
                  checkpoint.commit(layer + 1, {hidden_name(layer + 1)});
                });
  if (settings.process_output) {
    pass.observe_output(observer, stop);
    observer.collect(statistics);
  }
  return statistics;
}

/// One of the two methods, behind one face.
class Gradients {
 public:
  Gradients(const model::ForwardPass& pass, const WalkSettings& settings)
      : source_(pass.loader().source()), count_(pass.batch().windows()) {
    const model::GradientStatisticsSettings statistics{pass.settings().precision, pass.settings().threads};
    if (settings.method == ImportanceMethod::gradient) {
      gradient_.emplace(statistics);
    } else {
      count_ *= pass.batch().context - 1;  // the last token of a window has no next one
      fisher_.emplace(statistics, detail_of(settings));
    }
  }

  model::GradientObserver& observer() {
    return gradient_ ? static_cast<model::GradientObserver&>(*gradient_) : *fisher_;
  }

  /// Adds what was seen of every tensor, and forgets it; diagonals go to `diagonal`.
  void collect(CalibrationStatistics& statistics, const FisherSink& diagonal) {
    for (std::size_t tensor = 0; tensor < source_.tensors().size(); ++tensor) {
      auto sums = gradient_ ? model::FisherSums{gradient_->take(tensor), {}} : fisher_->take(tensor);
      if (sums.columns.empty()) continue;
      statistics[source_.tensors()[tensor].name] = {
          std::move(sums.columns), {}, {count_}, std::move(sums.rows)};
      if (diagonal) diagonal(tensor, mean_diagonal(tensor));
    }
  }

  std::uint64_t count() const { return count_; }

 private:
  static model::FisherDetail detail_of(const WalkSettings& settings) {
    if (settings.fisher) return model::FisherDetail::weights;
    return settings.marginals ? model::FisherDetail::marginals : model::FisherDetail::columns;
  }

  std::vector<float> mean_diagonal(std::size_t tensor) {
    auto diagonal = fisher_->take_weights(tensor);
    for (float& value : diagonal) value /= static_cast<float>(count_);
    return diagonal;
  }

  const WeightSource& source_;
  std::uint64_t count_;  ///< windows for gradient, tokens with a next one for Fisher
  std::optional<model::GradientImportance> gradient_;
  std::optional<model::FisherImportance> fisher_;
};

class NobodyLooks final : public model::GradientObserver {
 public:
  void linear_gradients(std::span<const model::LinearGradients>) override {}
};

class WalkBack {
 public:
  WalkBack(model::ForwardPass& pass, const WalkSettings& settings, WalkCheckpoint& checkpoint,
           LayerProgress& progress, const StopFlag& stop)
      : pass_(pass),
        settings_(settings),
        checkpoint_(checkpoint),
        progress_(progress),
        stop_(stop),
        layers_(pass.config().layers),
        backward_(pass, {.labels = settings.labels}),
        gradients_(pass, settings) {}

  CalibrationStatistics run() {
    const std::uint32_t finished = checkpoint_.finished();
    restore(finished);
    for (std::uint32_t layer = finished; layer < layers_; ++layer) run_forward(layer);
    if (finished <= layers_) run_output();
    const std::uint32_t back_from = finished <= layers_ ? layers_ : 2 * layers_ + 1 - finished;
    for (std::uint32_t layer = back_from; layer-- > 0;) run_back(layer);
    if (settings_.marginals) add_embedding();
    return std::move(statistics_);
  }

 private:
  const model::WeightLoader& loader() const { return pass_.loader(); }

  /// Brings everything to where a run that finished so many steps left it.
  void restore(std::uint32_t finished) {
    pass_.embed();
    if (finished == 0) return;
    statistics_ = checkpoint_.statistics();
    const bool on_the_way_back = finished > layers_;
    const std::uint32_t inputs = on_the_way_back ? 2 * layers_ + 1 - finished : finished;
    for (std::uint32_t layer = 0; layer < inputs; ++layer) {
      auto& input = backward_.restore_input();
      if (layer == 0) {
        model::copy_states(pass_.states(), input);
      } else {
        checkpoint_.restore(hidden_name(layer), input);
      }
    }
    if (on_the_way_back) {
      checkpoint_.restore(kGradients, backward_.gradients());
    } else {
      checkpoint_.restore(hidden_name(finished), pass_.states());
    }
    hand_over_kept_diagonals();
    for (std::uint32_t step = 0; step < finished; ++step) skip(step);
  }

  void skip(std::uint32_t step) {
    if (step < layers_) progress_.skip(loader(), step);
    if (step > layers_) progress_.skip(loader(), 2 * layers_ - step);
  }

  void run_forward(std::uint32_t layer) {
    backward_.run_forward_layer(loader().layer(layer), layer, stop_, progress_.layer(loader(), layer));
    checkpoint_.keep(hidden_name(layer + 1), pass_.states());
    commit(layer + 1, layer + 1);
    progress_.item_done(fmt::format("forward, layer {} of {}", layer + 1, layers_));
  }

  void run_output() {
    NobodyLooks nobody;
    auto& observer = settings_.process_output ? gradients_.observer() : nobody;
    backward_.run_output(loader().output(), observer, stop_);
    finish_back(layers_ + 1, layers_ - 1);
    progress_.item_done("output");
  }

  void run_back(std::uint32_t layer) {
    backward_.run_layer(loader().layer(layer), layer, gradients_.observer(), stop_,
                        progress_.layer(loader(), layer));
    finish_back(2 * layers_ + 1 - layer, layer == 0 ? 0 : layer - 1);
    progress_.item_done(fmt::format("back, layer {} of {}", layer + 1, layers_));
  }

  void finish_back(std::uint32_t steps, std::uint32_t highest_input) {
    gradients_.collect(statistics_, settings_.fisher ? FisherSink([this](auto tensor, auto diagonal) {
                         checkpoint_.keep(diagonal_name(tensor), std::as_bytes(diagonal));
                         if (checkpoint_.keeps()) kept_diagonals_.push_back(diagonal_name(tensor));
                         settings_.fisher(tensor, diagonal);
                       })
                                                     : FisherSink());
    checkpoint_.keep(kGradients, backward_.gradients());
    commit(steps, highest_input);
  }

  /// A tied matrix already has the sums of its use as output.
  void add_embedding() {
    const auto sums =
        model::embedding_fisher(backward_.gradients(), pass_.batch().tokens, pass_.config().vocabulary);
    auto& statistics = statistics_["token_embd.weight"];
    statistics.counts = {gradients_.count()};
    add(sums.columns, statistics.sums);
    add(sums.rows, statistics.row_sums);
  }

  static void add(std::span<const double> from, std::vector<double>& to) {
    to.resize(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  }

  /// `highest_input`: the inputs of the layers up to this one are still needed.
  void commit(std::uint32_t steps, std::uint32_t highest_input) {
    checkpoint_.keep(statistics_);
    std::vector<std::string> names = kept_diagonals_;
    for (std::uint32_t layer = 1; layer <= highest_input; ++layer) names.push_back(hidden_name(layer));
    if (steps > layers_) names.emplace_back(kGradients);
    checkpoint_.commit(steps, std::move(names));
  }

  static std::string diagonal_name(std::size_t tensor) { return fmt::format("fisher-{}", tensor); }

  void hand_over_kept_diagonals() {
    if (!settings_.fisher) return;
    for (std::size_t tensor = 0; tensor < loader().source().tensors().size(); ++tensor) {
      if (!statistics_.contains(loader().source().tensors()[tensor].name)) continue;
      const auto bytes = checkpoint_.blob(diagonal_name(tensor));
      std::vector<float> diagonal(bytes.size() / sizeof(float));
      std::memcpy(diagonal.data(), bytes.data(), bytes.size());
      settings_.fisher(tensor, diagonal);
      kept_diagonals_.push_back(diagonal_name(tensor));
    }
  }

  model::ForwardPass& pass_;
  const WalkSettings& settings_;
  WalkCheckpoint& checkpoint_;
  LayerProgress& progress_;
  const StopFlag& stop_;
  std::uint32_t layers_;
  model::BackwardPass backward_;
  Gradients gradients_;
  CalibrationStatistics statistics_;
  std::vector<std::string> kept_diagonals_;
};

}  // namespace

void add_walk(const model::ForwardPass& pass, const WalkSettings& settings, LayerProgress& progress) {
  progress.add(pass.loader(), pass.config().layers);
  if (settings.method != ImportanceMethod::activation) progress.add(pass.loader(), pass.config().layers);
}

CalibrationStatistics walk(model::ForwardPass& pass, const WalkSettings& settings, WalkCheckpoint& checkpoint,
                           LayerProgress& progress, const StopFlag& stop) {
  if (settings.method == ImportanceMethod::activation) {
    return walk_forward(pass, settings, checkpoint, progress, stop);
  }
  return WalkBack(pass, settings, checkpoint, progress, stop).run();
}

}  // namespace tessera::pipeline
