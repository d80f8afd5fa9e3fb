// A rule of a profile or a configuration: which tensors, and what the allocation may make of them.
//
// Grammar (YAML or JSON), all keys optional but at least one of the effects:
//
//   tensors: [blk.0.*, output.weight]    exact names or globs (* and ?)
//   layers: [0-2, 5, first 1, last 3]    numbers, closed ranges, a count from either end
//   roles: [attn_v, ffn_down]            as tensor_role.h spells them; `attention`, `ffn`: all of a group
//   experts: dense | routed | shared     what a feed-forward tensor belongs to
//   type: Q6_K                           effect: pinned to this type
//   min: 4                               effect: never fewer bits per weight (a number or a type's name)
//   max: Q6_K                            effect: never more
//   keep: true                           effect: excluded, stored as it is
//
// A tensor is selected when all selectors that the rule states hold; within a list one item must. A rule
// without selectors holds for all tensors. Rules are applied in order and later ones win: a `type` or `keep`
// over all earlier effects, a limit over an earlier `type` or the same limit. Limits do not undo `keep`: they
// speak of what is quantized.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/tensor/element_type.h"
#include "model/architecture/tensor_role.h"

namespace tessera {

/// A place in a file that a user wrote, for messages about it.
struct SourceLine {
  std::string file;        ///< path, or "profile NAME"
  std::uint32_t line = 0;  ///< from 1; 0: the text has no lines
  bool built_in = false;   ///< part of Tessera: not the user's to mend

  /// "conf.yaml:7"
  std::string text() const;
};

/// Some layers of a model.
struct LayerSelection {
  enum class From { number, first, last };
  From from = From::number;
  std::uint32_t begin = 0;  ///< number: the first layer of the range
  std::uint32_t end = 0;    ///< number: the last one, included; first/last: how many

  bool contains(std::uint32_t layer, std::uint32_t layer_count) const;
  bool operator==(const LayerSelection&) const = default;
};

/// What a feed-forward tensor belongs to.
enum class ExpertKind { dense, routed, shared };

/// Whether a model has a mixture of experts.
enum class ModelKind { dense, moe };

std::string_view name_of(ModelKind kind);
std::optional<ModelKind> model_kind_from_name(std::string_view name);

std::string_view name_of(ExpertKind kind);
std::optional<ExpertKind> expert_kind_from_name(std::string_view name);
/// What the tensor of this GGUF name belongs to ("blk.N.ffn_down_exps.weight": routed); empty when it is not
/// a feed-forward projection.
std::optional<ExpertKind> expert_kind_of(std::string_view tensor_name);

/// The roles that a configuration means by `name`: one role, or all of the group `attention` or `ffn`. Empty
/// when there is no such name.
std::vector<model::TensorRole> roles_named(std::string_view name);
/// What roles_named() knows, for messages.
std::vector<std::string_view> role_names();

struct TensorSelector {
  std::vector<std::string> tensors;      ///< exact names or globs; empty: any
  std::vector<LayerSelection> layers;    ///< empty: any; a tensor outside of all layers is in none
  std::vector<model::TensorRole> roles;  ///< empty: any
  std::optional<ExpertKind> experts;     ///< set: only feed-forward tensors of this kind

  /// `layer_count` is the number of the model's layers.
  bool selects(std::string_view tensor_name, std::uint32_t layer_count) const;
  bool operator==(const TensorSelector&) const = default;
};

struct TensorRule {
  TensorSelector selector;
  std::optional<ModelKind> models = std::nullopt;  ///< set: only in these; rules_for() resolves it
  std::optional<ElementType> type = std::nullopt;  ///< pinned
  std::optional<double> min_bits = std::nullopt;   ///< bits per weight of the type
  std::optional<double> max_bits = std::nullopt;
  bool keep = false;  ///< excluded from quantization
  SourceLine place = {};
};

/// What the rules together allow for one tensor.
struct TensorLimits {
  std::optional<ElementType> type;  ///< pinned to it; the limits then are those of all types
  double min_bits = 0;              ///< least bits per weight of a type, inclusive
  double max_bits = std::numeric_limits<double>::infinity();  ///< most, inclusive
  bool keep = false;                                          ///< stored as it is
  /// The rules that decided, for messages: of `type` or `keep`, of `min_bits`, of `max_bits`.
  std::optional<SourceLine> pinned_by = std::nullopt;
  std::optional<SourceLine> min_by = std::nullopt;
  std::optional<SourceLine> max_by = std::nullopt;

  /// Whether the allocation may choose this type.
  bool allows(ElementType candidate) const;
};

/// The rules that hold for a model of this kind. The functions below take rules of one model: all their
/// `models` are as that model's kind.
std::vector<TensorRule> rules_for(std::span<const TensorRule> rules, ModelKind kind);

/// The rules for a token embedding that serves as the output matrix too: what is said of the output holds for
/// it as well.
std::vector<TensorRule> with_tied_output(std::span<const TensorRule> rules);

/// Applies all rules in order to one tensor. Throws BadFileError, naming both rules, when they leave a least
/// number of bits above the greatest.
TensorLimits limits_of(std::span<const TensorRule> rules, std::string_view tensor_name,
                       std::uint32_t layer_count);

/// Throws BadFileError, naming both lines, when two of the user's rules say different things of the same: one
/// selector, or one exact tensor name, pinned to two types, or pinned and kept. (Between different selectors
/// the order of the rules decides.)
void require_consistent(std::span<const TensorRule> rules);

/// Throws BadFileError, naming the line and, where a name is at fault, the nearest tensor, when one of the
/// user's rules, or a name or glob in it, selects none of the tensors. Rules of profiles may select none:
/// they are written for all models.
void require_matches(std::span<const TensorRule> rules, std::span<const std::string> tensor_names,
                     std::uint32_t layer_count);

}  // namespace tessera
