// The layer-by-layer pass of a model over calibration windows: embed, then one layer after the other over all
// windows, then logits. One layer's weights are resident at a time, so a model larger than memory is read
// once, front to back.
//
// The result does not depend on the number of threads: a window is computed by one thread, in an order of
// additions that shapes alone decide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "foundation/base/stop_flag.h"
#include "model/forward/hidden_states.h"
#include "model/forward/layer_forward.h"
#include "model/forward/layer_weights.h"

namespace tessera::model {

struct ForwardSettings {
  /// Of the operands of matrix products, and of the hidden states between layers.
  kernels::Precision precision = kernels::Precision::f32;
  int threads = 0;  ///< 0: all cores
  /// Hidden states beyond this go to a scratch file in `scratch_folder`.
  std::uint64_t memory_bytes = std::uint64_t{4} << 30;
  std::filesystem::path scratch_folder = {};
};

/// Tokens of all windows, [windows, context].
struct TokenBatch {
  std::span<const std::int32_t> tokens;
  std::size_t context = 0;

  std::size_t windows() const { return tokens.size() / context; }
  std::span<const std::int32_t> window(std::size_t index) const {
    return tokens.subspan(index * context, context);
  }
};

/// Throws BadFileError naming `file`, the model, on a token that its vocabulary does not have.
void check_tokens(std::span<const std::int32_t> tokens, const DecoderConfig& config, const std::string& file);

/// Fills `states` with the embeddings of the tokens; `threads` as in parallel_for. Throws BadFileError.
void embed_tokens(const WeightLoader& loader, const TokenBatch& batch, int threads, HiddenStates& states);

/// Called from several threads at a time with the share of a layer's windows that are done.
using WindowsDone = std::function<void(std::size_t done, std::size_t total)>;

class ForwardPass {
 public:
  /// Checks the tokens against the vocabulary. Throws BadFileError. Source, config and tokens outlive it.
  ForwardPass(const WeightSource& source, const DecoderConfig& config, const TokenBatch& batch,
              const ForwardSettings& settings);

  const DecoderConfig& config() const { return config_; }
  const TokenBatch& batch() const { return batch_; }
  const WeightLoader& loader() const { return loader_; }
  HiddenStates& states() { return states_; }
  const kernels::RopeTable& rope() const { return rope_; }
  const ForwardSettings& settings() const { return settings_; }

  /// Number of lanes an observer sees (forward_observer.h).
  std::size_t lanes() const;

  /// Fills the hidden states with the tokens' embeddings.
  void embed();

  /// Shows `observer` the input of the output matrix at all positions, without multiplying it.
  void observe_output(ForwardObserver& observer, const StopFlag& stop);

  /// Takes all windows through the layer. `observer` may be null. Throws InterruptedError at a window's end
  /// when `stop` asks for it; the hidden states are then no longer of use.
  void run_layer(const LayerWeights& weights, std::uint32_t layer, ForwardObserver* observer,
                 const StopFlag& stop, const WindowsDone& done = {});

 private:
  const DecoderConfig& config_;
  TokenBatch batch_;
  ForwardSettings settings_;
  WeightLoader loader_;
  kernels::RopeTable rope_;
  HiddenStates states_;
  std::vector<LayerForward> workers_;
};

}  // namespace tessera::model
