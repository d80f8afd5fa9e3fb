// What PairedPass shows of the experts of a mixture, and how they are replaced.
#include <algorithm>
#include <cassert>

#include "foundation/base/parallel.h"
#include "model/forward/paired_pass.h"

namespace tessera::model {

std::vector<std::uint64_t> PairedPass::expert_tokens() const {
  std::vector<std::uint64_t> tokens(experts_->experts());
  for (std::size_t x = 0; x < tokens.size(); ++x) tokens[x] = experts_->count(x);
  return tokens;
}

std::vector<std::size_t> PairedPass::expert_readers(LayerInput input) const {
  const Expert& any = shown_stream().weights().mixture.experts.front();
  if (input == LayerInput::down) return {any.down.tensor};
  return {any.gate.tensor, any.up.tensor};
}

void PairedPass::replace_expert(std::size_t tensor, std::size_t expert, std::span<const float> weights) {
  if (!replaced_) return;
  Expert& replaced = replaced_->weights().mixture.experts[expert];
  for (Linear* linear : {&replaced.gate, &replaced.up, &replaced.down}) {
    if (linear->tensor != tensor) continue;
    assert(weights.size() == linear->weight.rows() * linear->weight.columns());
    linear->weight.store(0, weights);
    return;
  }
  assert(false && "the tensor stacks experts of the present layer");
}

void PairedPass::show_expert(LayerInput input, std::size_t expert, const PairedRowsSink& sink,
                             const StopFlag& stop) {
  assert(shown_ == kLayerInputs.size());
  if (experts_->count(expert) == 0) return;
  const Expert& replaced = shown_stream().weights().mixture.experts[expert];
  const bool is_down = input == LayerInput::down;
  Expert original;  // of the reference, where that is another stream
  if (replaced_ && is_down) original = std::move(loader_.experts(layer_, expert, 1).front());
  auto& rows = rows_of(is_down ? config_.mixture->feed_forward : config_.embedding);

  auto tokens = std::vector(experts_->rows(expert).begin(), experts_->rows(expert).end());
  const auto middle = std::stable_partition(tokens.begin(), tokens.end(), [&](std::uint32_t token) {
    return has_reference(token / batch_.context / windows_at_once());
  });
  const auto with_reference = static_cast<std::size_t>(middle - tokens.begin());
  std::size_t first = 0;
  while (first < tokens.size()) {
    const bool is_paired = first < with_reference;
    const std::size_t end = is_paired ? with_reference : tokens.size();
    const std::size_t count = std::min(rows.front().rows(), end - first);
    std::vector<ExpertShare> shares;
    if (is_paired) shares.push_back({&reference_, replaced_ ? &original : &replaced, &rows.front()});
    if (replaced_) shares.push_back({&*replaced_, &replaced, &rows.back()});
    run_expert(input, std::span(tokens).subspan(first, count), shares, stop);
    sink({is_paired ? &rows.front() : nullptr, rows.back(), count});
    first += count;
  }
  for (StagedStream* stream : streams()) {
    for (std::size_t window = 0; window < stream->states().windows(); ++window) stream->release(window);
  }
}

void PairedPass::run_expert(LayerInput input, std::span<const std::uint32_t> tokens,
                            std::span<const ExpertShare> shares, const StopFlag& stop) {
  const std::size_t panel = std::min(kTileTokens, batch_.context);
  const std::size_t panels = (tokens.size() + panel - 1) / panel;
  parallel_for(panels * shares.size(), static_cast<int>(workers_.size()), [&](std::size_t item, int worker) {
    stop.check();
    const ExpertShare& share = shares[item % shares.size()];
    const std::size_t first = item / shares.size() * panel;
    std::vector<TokenPosition> positions;
    for (const std::uint32_t token : tokens.subspan(first, std::min(panel, tokens.size() - first)))
      positions.push_back(position_in(*share.stream, token));
    share.stream->run_expert(input, *share.expert, positions, workers_[static_cast<std::size_t>(worker)],
                             *share.rows, first);
  });
}

TokenPosition PairedPass::position_in(const StagedStream& stream, std::uint32_t token) const {
  TokenPosition place{token / batch_.context, token % batch_.context};
  if (&stream != &reference_ || !replaced_) return place;
  // The reference has the windows of every so manieth batch.
  const std::size_t batch = place.window / windows_at_once();
  assert(has_reference(batch));
  place.window = batch / settings_.reference_every * windows_at_once() + place.window % windows_at_once();
  return place;
}

}  // namespace tessera::model
