#include "model/forward/backward_pass.h"

#include <algorithm>
#include <cassert>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"

namespace tessera::model {
namespace {

/// Turns gradients by window into gradients by linear.
class Report {
 public:
  Report(const std::vector<const Linear*>& linears, std::size_t first_output)
      : linears_(linears), first_output_(first_output), windows_(linears.size()) {}

  /// Of every linear, for the next window.
  void add(const std::vector<LinearGradient>& window) {
    for (std::size_t i = 0; i < linears_.size(); ++i) windows_[i].push_back(window[i]);
  }
  void send(GradientObserver& observer) const {
    std::vector<LinearGradients> gradients;
    for (std::size_t i = 0; i < linears_.size(); ++i)
      gradients.push_back({linears_[i], first_output_, windows_[i]});
    observer.linear_gradients(gradients);
  }

 private:
  std::vector<const Linear*> linears_;
  std::size_t first_output_;
  std::vector<std::vector<LinearGradient>> windows_;
};

}  // namespace

BackwardPass::BackwardPass(ForwardPass& forward, const BackwardSettings& settings)
    : forward_(forward),
      settings_(settings),
      memory_left_(forward.settings().memory_bytes -
                   std::min<std::uint64_t>(forward.settings().memory_bytes, forward.states().bytes().size())),
      gradients_(make_states()) {
  require_float_linears(forward.loader().source());
  if (!forward.config().mixture) return;
  throw BadFileError({.file = forward.loader().source().name()},
                     "the backward pass does not run mixtures of experts");
}

void BackwardPass::run_forward_layer(const LayerWeights& weights, std::uint32_t layer, const StopFlag& stop,
                                     const WindowsDone& done) {
  assert(inputs_.size() == layer);
  copy_states(forward_.states(), restore_input());
  forward_.run_layer(weights, layer, nullptr, stop, done);
}

HiddenStates& BackwardPass::restore_input() {
  inputs_.push_back(make_states());
  return inputs_.back();
}

std::vector<double> BackwardPass::run_output(const OutputWeights& weights, GradientObserver& observer,
                                             const StopFlag& stop, const WindowsDone& done) {
  const auto& batch = forward_.batch();
  const int threads = forward_.settings().threads;
  const auto chunks = vocabulary_chunks(forward_.config().vocabulary, settings_.vocabulary_chunk);
  std::vector<OutputBackward> workers;
  for (std::size_t i = 0; i < slots(); ++i)
    workers.emplace_back(forward_.config(), weights, forward_.settings().precision, batch.context, chunks,
                         settings_.labels);

  std::vector<double> losses(batch.windows());
  for (std::size_t first = 0; first < batch.windows(); first += workers.size()) {
    const std::size_t count = std::min(workers.size(), batch.windows() - first);
    stop.check();
    parallel_for(count, threads, [&](std::size_t slot, int) {
      losses[first + slot] = workers[slot].begin(forward_.states(), first + slot, batch.window(first + slot));
    });
    for (const auto& chunk : chunks) {
      stop.check();
      parallel_for(count, threads, [&](std::size_t slot, int) { workers[slot].run(chunk); });
      Report report({&weights.output}, chunk.first);
      for (std::size_t slot = 0; slot < count; ++slot) report.add({workers[slot].linear_gradient()});
      report.send(observer);
    }
    for (std::size_t slot = 0; slot < count; ++slot) workers[slot].end(first + slot, gradients_);
    if (done) done(first + count, batch.windows());
  }
  return losses;
}

void BackwardPass::run_layer(const LayerWeights& weights, std::uint32_t layer, GradientObserver& observer,
                             const StopFlag& stop, const WindowsDone& done) {
  assert(inputs_.size() == layer + 1);
  const auto& batch = forward_.batch();
  while (workers_.size() < slots()) {
    workers_.emplace_back(forward_.config(), forward_.rope(), forward_.settings().precision, batch.context);
  }
  for (std::size_t first = 0; first < batch.windows(); first += workers_.size()) {
    const std::size_t count = std::min(workers_.size(), batch.windows() - first);
    stop.check();
    parallel_for(count, forward_.settings().threads, [&](std::size_t slot, int) {
      workers_[slot].run(weights, layer, first + slot, inputs_.back(), gradients_);
    });
    Report report(LayerBackward::linears(weights), 0);
    for (std::size_t slot = 0; slot < count; ++slot) report.add(workers_[slot].linear_gradients());
    report.send(observer);
    if (done) done(first + count, batch.windows());
  }
  inputs_.pop_back();
}

/// In memory as long as there is some left of what the settings allow, else in a scratch file.
HiddenStates BackwardPass::make_states() {
  const auto& settings = forward_.settings();
  const auto& batch = forward_.batch();
  HiddenStates states(batch.windows(), batch.context, forward_.config().embedding,
                      {settings.precision, memory_left_, settings.scratch_folder});
  memory_left_ -= std::min<std::uint64_t>(memory_left_, states.bytes().size());
  return states;
}

std::size_t BackwardPass::slots() const {
  const auto threads = static_cast<std::size_t>(resolve_threads(forward_.settings().threads));
  return std::min(threads, forward_.batch().windows());
}

}  // namespace tessera::model
