#include "model/forward/forward_pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "foundation/base/error.h"
#include "foundation/base/parallel.h"
#include "foundation/kernels/rms_norm.h"

namespace tessera::model {
namespace {

/// Enough to keep every core of a large machine busy, few enough for an accumulator each.
constexpr std::size_t kMostLanes = 64;

}  // namespace

void check_tokens(std::span<const std::int32_t> tokens, const DecoderConfig& config,
                  const std::string& file) {
  for (const std::int32_t token : tokens) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < config.vocabulary) continue;
    throw BadFileError({.file = file, .tensor = "token_embd.weight"},
                       fmt::format("the text has token {}, but the model's vocabulary has {} tokens; the "
                                   "tokenizer belongs to another model",
                                   token, config.vocabulary));
  }
}

void embed_tokens(const WeightLoader& loader, const TokenBatch& batch, int threads, HiddenStates& states) {
  const std::size_t columns = states.embedding();
  parallel_for(batch.windows(), threads, [&](std::size_t window, int) {
    std::vector<float> rows(std::min(batch.context, kTileTokens) * columns);
    for (std::size_t first = 0; first < batch.context; first += kTileTokens) {
      const std::size_t tokens = std::min(kTileTokens, batch.context - first);
      const auto tile = std::span(rows).first(tokens * columns);
      loader.embed(batch.window(window).subspan(first, tokens), tile);
      states.store(window, first, tile);
    }
    states.release(window);
  });
  loader.release_embedding();
}

ForwardPass::ForwardPass(const WeightSource& source, const DecoderConfig& config, const TokenBatch& batch,
                         const ForwardSettings& settings)
    : config_(config),
      batch_(batch),
      settings_(settings),
      loader_(source, config, settings.precision, settings.threads),
      rope_(config.rope, static_cast<std::uint32_t>(batch.context)),
      states_(batch.windows(), batch.context, config.embedding,
              {settings.precision, settings.memory_bytes, settings.scratch_folder}) {
  check_tokens(batch.tokens, config, source.name());
  const auto threads = static_cast<std::size_t>(resolve_threads(settings.threads));
  for (std::size_t i = 0; i < std::min(threads, lanes()); ++i) {
    workers_.emplace_back(config, rope_, settings.precision, batch.context);
  }
}

std::size_t ForwardPass::lanes() const { return std::min(batch_.windows(), kMostLanes); }

void ForwardPass::embed() { embed_tokens(loader_, batch_, settings_.threads, states_); }

void ForwardPass::run_layer(const LayerWeights& weights, std::uint32_t layer, ForwardObserver* observer,
                            const StopFlag& stop, const WindowsDone& done) {
  std::atomic<std::size_t> finished = 0;
  const std::size_t windows = batch_.windows();
  parallel_for(lanes(), static_cast<int>(workers_.size()), [&](std::size_t lane, int worker) {
    for (std::size_t window = lane; window < windows; window += lanes()) {
      stop.check();
      workers_[static_cast<std::size_t>(worker)].run(weights, layer, window, lane, states_, observer);
      const std::size_t count = finished.fetch_add(1) + 1;
      if (done) done(count, windows);
    }
  });
}

void ForwardPass::observe_output(ForwardObserver& observer, const StopFlag& stop) {
  const auto norm = loader_.output_norm();
  const std::size_t tensor = loader_.output_tensor();
  const std::size_t columns = config_.embedding;
  parallel_for(lanes(), settings_.threads, [&](std::size_t lane, int) {
    std::vector<float> row(columns);
    kernels::Matrix input(settings_.precision, batch_.context, columns);
    for (std::size_t window = lane; window < batch_.windows(); window += lanes()) {
      stop.check();
      for (std::size_t position = 0; position < batch_.context; ++position) {
        states_.load(window, position, row);
        kernels::rms_norm(row, norm, config_.norm_epsilon, row);
        input.store(position, row);
      }
      observer.linear_input({std::span(&tensor, 1), input, 0, batch_.context, {lane, window, 0}});
    }
  });
}

}  // namespace tessera::model
