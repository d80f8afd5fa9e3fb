#include "stages/score_windows.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <vector>

#include "foundation/base/parallel.h"
#include "model/forward/output_head.h"

namespace tessera::stages {
namespace {

/// The output heads of all workers over one model's weights.
class Heads {
 public:
  Heads(model::ForwardPass& pass, std::size_t workers) : pass_(pass), weights_(pass.loader().output()) {
    for (std::size_t i = 0; i < workers; ++i) {
      heads_.emplace_back(pass.config(), weights_, pass.settings().precision);
    }
  }
  Heads(const Heads&) = delete;
  Heads& operator=(const Heads&) = delete;

  std::size_t tile() const { return heads_.front().tile(); }

  std::span<float> logits(std::size_t worker, std::size_t window, std::size_t first, std::size_t count) {
    return heads_[worker].logits(pass_.states(), window, first, count);
  }

 private:
  model::ForwardPass& pass_;
  model::OutputWeights weights_;
  std::vector<model::OutputHead> heads_;
};

}  // namespace

void score_windows(model::ForwardPass& original, model::ForwardPass* quantized, const StopFlag& stop,
                   WindowScorer& scorer) {
  const auto& batch = original.batch();
  const int threads = original.settings().threads;
  const auto workers = std::min(static_cast<std::size_t>(resolve_threads(threads)), batch.windows());
  Heads heads(original, workers);
  std::optional<Heads> quantized_heads;
  if (quantized != nullptr) quantized_heads.emplace(*quantized, workers);
  parallel_for(batch.windows(), static_cast<int>(workers), [&](std::size_t window, int worker) {
    stop.check();
    for (std::size_t first = scorer.first_position(); first < scorer.end_position(); first += heads.tile()) {
      const std::size_t count = std::min(heads.tile(), scorer.end_position() - first);
      WindowRows rows{window, first, batch.window(window).subspan(first + 1, count), {}};
      rows.original = heads.logits(static_cast<std::size_t>(worker), window, first, count);
      if (quantized_heads) {
        rows.quantized = quantized_heads->logits(static_cast<std::size_t>(worker), window, first, count);
      }
      scorer.add_rows(rows);
    }
  });
}

}  // namespace tessera::stages
