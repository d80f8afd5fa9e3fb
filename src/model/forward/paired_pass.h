// A pass of two residual streams over calibration windows, in lock step: that of the model as it is (the
// reference) and that of the model whose linears so far were replaced, which reads what it will read once
// all of it is quantized. Linears that read one input are shown both streams' rows of it, then replaced:
//
//   PairedPass pass(source, config, batch, settings);
//   pass.embed();
//   for (layer = 0; layer < layers; ++layer) {
//     pass.begin_layer(layer);
//     for (input : kLayerInputs) {                           // attention, attention_output, feed_forward,
//     down
//       pass.show(input, sink, stop);                        // both streams' input, batch by batch
//       for (tensor : pass.readers(input)) pass.replace(tensor, new weights);
//     }
//     for (input : kExpertInputs, expert) {                   // of mixtures: feed_forward and down of each
//       pass.show_expert(input, expert, sink, stop);         // the rows of the tokens that pass it
//       for (tensor : pass.expert_readers(input)) pass.replace_expert(tensor, expert, new weights);
//     }
//     pass.end_layer(stop);                                  // checkpoints: reference(), replaced()
//   }
//   pass.show_output(sink, stop);
//
// Each stream multiplies every linear once (staged_stream.h says what it keeps between stages), so with all
// windows in both the whole costs two forward passes. What is learnt from the reference, a mean difference,
// takes fewer tokens than what is learnt from the replaced stream: the reference may be that of every so
// manieth batch of windows only.
//
// In mixtures of experts the replaced stream chooses, as the quantized model will: an expert is shown the
// rows of the tokens that pass it there, and beside them what the original expert reads of the same tokens of
// the reference, whether they pass it there or not. The experts of a layer are resident once: before the
// streams are taken past the layer's end as they were replaced, one by one for what is shown of the
// reference, and for its own way at last loaded again. So gate and up of experts are multiplied twice.
//
// With nothing replaced both streams have the bits of ForwardPass. The result
// does not depend on the number of threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "foundation/base/stop_flag.h"
#include "model/forward/forward_pass.h"
#include "model/forward/staged_stream.h"

namespace tessera::model {

/// In the order in which a layer comes to them.
inline constexpr std::array kLayerInputs = {LayerInput::attention, LayerInput::attention_output,
                                            LayerInput::feed_forward, LayerInput::down};

/// The inputs of an expert's linears, in the same order.
inline constexpr std::array kExpertInputs = {LayerInput::feed_forward, LayerInput::down};

struct PairedSettings {
  /// `memory_bytes` bounds the activations of all windows that are kept, both streams together.
  ForwardSettings forward = {};
  /// Off: there is the reference stream alone, and replacing does nothing; half the time and memory.
  bool sequential = true;
  /// Sequential: batches 0, n, 2 n and so on have a reference, the others are shown without.
  std::size_t reference_every = 1;
  /// Tokens that are shown at a time, as many whole windows as fit (at least one). More keep more threads
  /// busy: a thread takes a tile of a stream, or before attention_output a window.
  std::size_t batch_tokens = 2048;
};

/// Rows [0, tokens) are valid, the same tokens in both; valid during the call. Not sequential: both are one.
struct PairedRows {
  const kernels::Matrix* reference;  ///< [>= tokens, in]; null in a batch without
  const kernels::Matrix& replaced;   ///< [>= tokens, in]
  std::size_t tokens = 0;
};

using PairedRowsSink = std::function<void(const PairedRows&)>;

class PairedPass {
 public:
  /// Checks the tokens against the vocabulary. Throws BadFileError, IoError.
  /// Source, config and tokens outlive it.
  PairedPass(const WeightSource& source, const DecoderConfig& config, const TokenBatch& batch,
             const PairedSettings& settings);

  const DecoderConfig& config() const { return config_; }
  const TokenBatch& batch() const { return batch_; }
  const WeightLoader& loader() const { return loader_; }
  const PairedSettings& settings() const { return settings_; }

  /// The residual streams at the last layer boundary: they change in embed and end_layer alone. The reference
  /// has the windows of the batches that have one, in their order. Not sequential: both are one. A pass whose
  /// streams are filled from a checkpoint goes on with the next layer.
  HiddenStates& reference() { return reference_.states(); }
  HiddenStates& replaced() { return replaced_ ? replaced_->states() : reference_.states(); }

  /// Fills both streams with the tokens' embeddings.
  void embed();

  /// Loads the layer's weights. Throws BadFileError.
  void begin_layer(std::uint32_t layer);
  /// The linears of the present layer that read the input, as numbered in the WeightSource.
  std::vector<std::size_t> readers(LayerInput input);

  /// Shows `sink` the input at all positions: batches of whole windows in their order, on the calling thread.
  /// Inputs come in the order of kLayerInputs, none left out; an empty sink only takes the streams there.
  /// `done` is called after every batch. This and the following throw InterruptedError when `stop` asks for
  /// it, and what the sink throws; the layer is then to be begun again, from a checkpoint where it was
  /// end_layer.
  void show(LayerInput input, const PairedRowsSink& sink, const StopFlag& stop, const WindowsDone& done = {});

  /// From now on the replaced stream multiplies the tensor, a reader of an input that was shown last or is
  /// still to be shown, with `weights` [out, in], rounded to the precision of the pass. Its bias stays.
  void replace(std::size_t tensor, std::span<const float> weights);

  /// By expert of the present layer's mixture, the tokens that pass it; once feed_forward was shown.
  std::vector<std::uint64_t> expert_tokens() const;
  /// The tensors that stack the linears reading an input of experts, feed_forward or down.
  std::vector<std::size_t> expert_readers(LayerInput input) const;
  /// Shows an expert's input, when all of kLayerInputs were shown. `sink` gets batches of rows, first those
  /// of tokens with a reference; none where no token passes the expert. Throws InterruptedError,
  /// BadFileError.
  void show_expert(LayerInput input, std::size_t expert, const PairedRowsSink& sink, const StopFlag& stop);
  /// As replace, for one expert of a tensor that stacks them.
  void replace_expert(std::size_t tensor, std::size_t expert, std::span<const float> weights);

  /// Takes the streams past the last linear of the layer.
  void end_layer(const StopFlag& stop);

  /// Shows the input of the output matrix, at a layer boundary.
  void show_output(const PairedRowsSink& sink, const StopFlag& stop, const WindowsDone& done = {});
  /// The tensor that reads it.
  std::size_t output_reader() const { return loader_.output_tensor(); }

 private:
  /// Computes a part's rows of one stream.
  using PartStep = std::function<void(StagedStream& stream, const WindowPart& part, StageWorker& worker,
                                      kernels::Matrix& rows, std::size_t first_row)>;
  /// One stream's share of a batch: windows [first, first + count), as the stream numbers them.
  struct StreamBatch {
    StagedStream* stream;
    kernels::Matrix* rows;
    std::size_t first;
    std::size_t count;
  };

  /// One stream's share of a batch of an expert's tokens.
  struct ExpertShare {
    const StagedStream* stream;
    const Expert* expert;
    kernels::Matrix* rows;
  };

  void run_batches(std::size_t columns, std::size_t part_tokens, const PartStep& step,
                   const PairedRowsSink& sink, const StopFlag& stop, const WindowsDone& done);
  void run_batch(std::span<const StreamBatch> shares, std::size_t part_tokens, const PartStep& step,
                 const StopFlag& stop);
  void run_expert(LayerInput input, std::span<const std::uint32_t> tokens,
                  std::span<const ExpertShare> shares, const StopFlag& stop);
  TokenPosition position_in(const StagedStream& stream, std::uint32_t token) const;
  std::vector<kernels::Matrix>& rows_of(std::size_t columns);
  std::size_t windows_at_once() const;
  bool has_reference(std::size_t batch) const;
  std::size_t reference_windows() const;
  std::vector<StagedStream*> streams();
  /// The stream that is shown as `replaced`.
  StagedStream& shown_stream() { return replaced_ ? *replaced_ : reference_; }
  const StagedStream& shown_stream() const { return replaced_ ? *replaced_ : reference_; }
  /// The linears that read an input, in a stream's weights of the layer; experts are not among them.
  std::vector<Linear*> linears_of(LayerInput input, StagedStream& stream) const;
  void finish(StagedStream& stream, const StopFlag& stop);
  void complete_replaced(LayerInput input);

  const DecoderConfig& config_;
  TokenBatch batch_;
  PairedSettings settings_;
  WeightLoader loader_;
  kernels::RopeTable rope_;
  StagedStream reference_;
  std::optional<StagedStream> replaced_;
  std::vector<StageWorker> workers_;
  /// By columns, a batch of each stream: new ones for every input would spend their time on new pages.
  std::map<std::size_t, std::vector<kernels::Matrix>> rows_;
  std::uint32_t layer_ = 0;              ///< the present one
  std::size_t shown_ = 0;                ///< inputs of it
  std::optional<ExpertGroups> experts_;  ///< of its mixture: tokens by expert
};

}  // namespace tessera::model
