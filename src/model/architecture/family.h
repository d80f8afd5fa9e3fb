// A model family as data: how its Hugging Face folder maps to GGUF.
//
// A family is four tables: where its sizes stand in config.json, which GGUF metadata they become (in the
// order of llama.cpp's converter, so that whole files compare), which tensors it has, under both names and
// with their shapes, and which vocabularies need a correction. A new family is a new row of tables in
// families.cc.
//
// In names, the first "{}" stands for the index of a layer and a second one for that of an expert, both
// counted from 0. Matrices of experts are stacked: one GGUF tensor [experts, rows, columns] for all of a
// layer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tessera::model {

/// The sizes of a model. Those up to `vocabulary` stand in config.json; the rest follow from them.
enum class Quantity {
  blocks,
  context,
  embedding,
  feed_forward,
  heads,
  kv_heads,
  head_size,
  vocabulary,
  experts,
  experts_used,  ///< by one token
  expert_feed_forward,
  shared_feed_forward,  ///< of the expert that every token passes
  query_width,          ///< heads * head_size
  key_value_width,      ///< kv_heads * head_size
  one,                  ///< 1
};
inline constexpr std::size_t kQuantities = 15;

/// What a size is when config.json does not give it: the default of the family's class in transformers.
enum class Otherwise {
  refuse,
  number,              ///< SizeRule::number
  heads,               ///< as many as there are heads
  embedding_per_head,  ///< embedding / heads
};

/// Where one size stands in config.json. Rules are applied in order, so a default may use an earlier size.
struct SizeRule {
  Quantity quantity;
  std::string_view config_key;
  Otherwise otherwise = Otherwise::refuse;
  std::uint32_t number = 0;
  std::string_view other_key = {};  ///< looked for where `config_key` is not given
};

/// What is written under a metadata key of the family.
enum class MetadataValue {
  size,           ///< uint32: MetadataRule::quantity
  size_if_given,  ///< the same, only when config.json gives it
  rope_scaling,   ///< the rope.scaling.* keys (none for unscaled and for llama3 scaling, which is a tensor)
  rope_base,      ///< float32
  norm_epsilon,   ///< float32
  file_type,      ///< general.file_type
};

/// One metadata key, without the "ARCHITECTURE." in front (file_type has a fixed key).
struct MetadataRule {
  std::string_view key;
  MetadataValue value = MetadataValue::size;
  Quantity quantity = Quantity::blocks;
};

/// How the rows of a tensor lie in GGUF compared with Hugging Face.
enum class RowOrder {
  same,
  /// Each head's rows go from half-split to interleaved pairs (shared/formats/GGUF.md section 3): within a
  /// head of h rows, output row 2 * i + s is input row s * (h / 2) + i.
  interleaved_heads,
};

/// In which type GGUF has a tensor.
enum class StoredType {
  as_is,    ///< vectors are float32 nevertheless
  float32,  ///< also when other matrices are converted: routers
};

enum class Presence {
  required,
  optional,
  unless_tied,  ///< required unless config.json says tie_word_embeddings
};

/// One tensor of the family, [rows, columns]; a vector has no `rows`. That of an expert is a part of the
/// stacked tensor, which has the number of experts before that.
struct TensorRule {
  std::string_view hf_name;
  std::string_view gguf_name;
  std::optional<Quantity> rows;
  Quantity columns;
  RowOrder row_order = RowOrder::same;
  Presence presence = Presence::required;
  StoredType stored_type = StoredType::as_is;
};

/// A vocabulary of this very size gets one more key, as llama.cpp's converter gives it.
struct VocabularyRule {
  std::uint32_t vocabulary;
  std::string_view key;
  std::optional<std::uint32_t> number;  ///< the uint32 to write; empty: false
};

/// Which layers attend to a window of "sliding_window" tokens only.
enum class SlidingWindow {
  never,
  where_given,  ///< all layers, where config.json gives a window
  /// Where "use_sliding_window" is true: the layers that "layer_types" says, or those from
  /// "max_window_layers" on.
  where_used,
  where_used_everywhere,  ///< where "use_sliding_window" is true: all layers
};

/// How the weights of the experts that a token passes come about from the softmax over all experts.
enum class ExpertWeights {
  none,                 ///< the family has no experts
  normalized_by_class,  ///< divided by their sum, and config.json has no say in it
  normalized,
  as_they_are,
};

struct Family {
  std::string_view hf_architecture;    ///< "architectures" of config.json, e.g. "LlamaForCausalLM"
  std::string_view gguf_architecture;  ///< general.architecture, e.g. "llama"
  std::span<const SizeRule> sizes;
  std::span<const MetadataRule> metadata;
  std::span<const TensorRule> tensors;
  std::span<const VocabularyRule> vocabularies;
  /// Whether "add_prefix_space" of tokenizer_config.json becomes tokenizer.ggml.add_space_prefix.
  bool writes_add_space_prefix = false;
  SlidingWindow sliding_window = SlidingWindow::never;
  /// What runtimes do with the GGUF architecture, which has no key for it. Config.json must agree where it
  /// says something ("norm_topk_prob").
  ExpertWeights expert_weights = ExpertWeights::none;
  /// Defaults of the family's class in transformers.
  double norm_epsilon = 1e-6;
  double rope_base = 10000;
};

/// All supported families.
std::span<const Family> all_families();

/// The family of this Hugging Face architecture, or nullptr.
const Family* find_family(std::string_view hf_architecture);

/// Whether a tensor of this Hugging Face name is left out in every family: buffers that are computed, not
/// learned.
bool is_ignored_tensor(std::string_view hf_name);

}  // namespace tessera::model
