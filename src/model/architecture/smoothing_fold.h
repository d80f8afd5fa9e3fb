// Where a family lets a factor per channel be moved from activations into weights without changing the model.
//
// A carrier gives the channels that linears (its readers) take as their input columns, with nothing but a
// product per channel in between. Dividing channel c of the carrier by s[c] and multiplying column c of all
// readers by s[c] leaves what the readers compute as it was (SmoothQuant, arXiv 2211.10438, section 4):
//
//   norm        y = W (n / s) with W <- W diag(s): the norm's weight carries the division
//   rows        v' = diag(1/s) (V x + b): rows and bias of a linear carry it. Attention adds up values
//   channel
//               by channel, silu(gate) * up is a product per channel: both let the factor through.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tessera::model {

/// Which of the carrier's channels a column of the readers is.
enum class FoldChannels {
  same,
  /// The carrier has the channels of key/value heads; every query head of a group reads those of its own.
  grouped_heads,
};

/// Names are GGUF names with "{}" for the layer; empty ones stand for nothing.
struct FoldRule {
  std::string_view name;                    ///< how options, files and reports call it
  std::string_view carrier;                 ///< a norm, [channels], or a linear, [channels, in]
  std::string_view carrier_bias;            ///< [channels]; divided where the model has it
  std::array<std::string_view, 3> readers;  ///< weights [out, columns]: all that read the channels
  FoldChannels channels = FoldChannels::same;
};

/// Sizes that `grouped_heads` needs.
struct HeadShape {
  std::uint32_t head_size = 1;
  std::uint32_t group = 1;  ///< query heads of a key/value head
};

/// The carrier's channel behind column `column` of the readers.
std::uint64_t carrier_channel(FoldChannels channels, const HeadShape& heads, std::uint64_t column);

/// The folds of this GGUF architecture, in the order in which a layer comes to them; empty when none are
/// known for it.
std::span<const FoldRule> smoothing_folds(std::string_view gguf_architecture);

/// What rules may call folds, for messages.
std::span<const std::string_view> fold_names();

/// GGUF architectures whose folds are known, for messages.
std::span<const std::string_view> architectures_with_folds();

}  // namespace tessera::model
