#include "model/source/hf_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <set>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/tensor/float16.h"
#include "foundation/tensor/tensor_index.h"
#include "model/architecture/tensor_name.h"
#include "model/source/expert_stacks.h"
#include "model/source/int8_weights.h"

namespace tessera::model {
namespace {

/// Where the rows of one presented tensor come from.
struct Origin {
  /// In the Hugging Face source: one, or one for each of the experts that are stacked.
  std::vector<std::size_t> tensors;
  std::uint64_t rows_per_head = 0;  ///< 0: rows are in the same order
};

/// The input row that becomes row `row` when each head of `rows_per_head` rows goes from half-split to
/// interleaved.
std::uint64_t half_split_row(std::uint64_t row, std::uint64_t rows_per_head) {
  const std::uint64_t in_head = row % rows_per_head;
  return row - in_head + (in_head % 2) * (rows_per_head / 2) + in_head / 2;
}

float element_as_float32(ElementType type, std::span<const std::byte> elements, std::size_t index) {
  if (type == ElementType::F32) {
    float value;
    std::memcpy(&value, elements.data() + index * sizeof value, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, elements.data() + index * sizeof bits, sizeof bits);
  return type == ElementType::F16 ? float_from_half(bits) : float_from_bfloat16(bits);
}

class HfWeights : public WeightSource {
 public:
  HfWeights(std::unique_ptr<WeightSource> weights, std::vector<float> rope_divisors)
      : weights_(std::move(weights)), rope_divisors_(std::move(rope_divisors)) {
    if (rope_divisors_.empty()) return;
    add({"rope_freqs.weight", ElementType::F32, {rope_divisors_.size()}}, {{}, 0});
  }

  void add(TensorDescriptor descriptor, Origin origin) {
    index_.insert(descriptor.name, descriptors_.size());
    descriptors_.push_back(std::move(descriptor));
    origins_.push_back(std::move(origin));
  }

  const std::string& name() const override { return weights_->name(); }
  std::span<const TensorDescriptor> tensors() const override { return descriptors_; }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }

  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    if (is_rope_divisors(tensor)) return std::as_bytes(std::span(rope_divisors_));
    const Origin& origin = origins_[tensor];
    if (descriptors_[tensor].shape.size() == 1) return vector_as_float32(tensor, scratch);
    if (origin.tensors.size() > 1) return stacked_rows(tensor, rows, scratch);
    if (origin.rows_per_head != 0) return reordered_rows(tensor, rows, scratch);
    if (weights_->tensors()[origin.tensors.front()].type != descriptors_[tensor].type)
      return rows_as_float32(tensor, rows, scratch);
    return weights_->stored_rows(origin.tensors.front(), rows, scratch);
  }

  void discard(std::size_t tensor, RowRange rows) const override {
    if (is_rope_divisors(tensor)) return;
    const Origin& origin = origins_[tensor];
    if (origin.tensors.size() > 1) {
      for_each_expert(tensor, rows,
                      [&](std::size_t source, const RowRange& part) { weights_->discard(source, part); });
      return;
    }
    if (descriptors_[tensor].shape.size() == 1) {
      rows = {0, weights_->tensors()[origin.tensors.front()].rows()};
    } else if (origin.rows_per_head != 0) {
      // The rows of a range come from all over their heads; only heads that end in the range are done with.
      const std::uint64_t first = rows.first / origin.rows_per_head * origin.rows_per_head;
      rows = {first, (rows.first + rows.count) / origin.rows_per_head * origin.rows_per_head - first};
    }
    weights_->discard(origin.tensors.front(), rows);
  }

 private:
  bool is_rope_divisors(std::size_t tensor) const { return tensor == 0 && !rope_divisors_.empty(); }

  std::size_t row_bytes_of(std::size_t tensor) const {
    return static_cast<std::size_t>(descriptors_[tensor].bytes() / descriptors_[tensor].rows());
  }

  /// visit(tensor of the source, its rows) for the experts of a stacked tensor that have a share in `rows`.
  template <class Visit>
  void for_each_expert(std::size_t tensor, const RowRange& rows, const Visit& visit) const {
    const std::uint64_t rows_per_expert = descriptors_[tensor].rows() / origins_[tensor].tensors.size();
    for (std::uint64_t row = rows.first; row < rows.first + rows.count;) {
      const std::uint64_t in_expert = row % rows_per_expert;
      const std::uint64_t count = std::min(rows_per_expert - in_expert, rows.first + rows.count - row);
      visit(origins_[tensor].tensors[row / rows_per_expert], {in_expert, count});
      row += count;
    }
  }

  std::span<const std::byte> stacked_rows(std::size_t tensor, const RowRange& rows,
                                          std::vector<std::byte>& scratch) const {
    const std::size_t bytes = static_cast<std::size_t>(rows.count) * row_bytes_of(tensor);
    std::span<const std::byte> found;
    std::vector<std::byte> result;
    for_each_expert(tensor, rows, [&](std::size_t source, const RowRange& part) {
      found = weights_->stored_rows(source, part, scratch);
      if (found.size() < bytes) result.insert(result.end(), found.begin(), found.end());
    });
    if (found.size() == bytes) return found;
    scratch = std::move(result);
    return scratch;
  }

  std::span<const std::byte> rows_as_float32(std::size_t tensor, const RowRange& rows,
                                             std::vector<std::byte>& scratch) const {
    const std::size_t source = origins_[tensor].tensors.front();
    const auto stored = weights_->stored_rows(source, rows, scratch);
    const auto elements = static_cast<std::size_t>(rows.count * descriptors_[tensor].columns());
    return as_float32(weights_->tensors()[source].type, stored, elements, scratch,
                      [](std::size_t i) { return i; });
  }

  /// Element i of the result is element from(i) of `stored`, which may lie in `scratch`.
  template <class From>
  static std::span<const std::byte> as_float32(ElementType type, std::span<const std::byte> stored,
                                               std::size_t elements, std::vector<std::byte>& scratch,
                                               const From& from) {
    std::vector<std::byte> result(elements * sizeof(float));
    for (std::size_t i = 0; i < elements; ++i) {
      const float value = element_as_float32(type, stored, static_cast<std::size_t>(from(i)));
      std::memcpy(result.data() + i * sizeof(float), &value, sizeof(float));
    }
    scratch = std::move(result);
    return scratch;
  }

  std::span<const std::byte> reordered_rows(std::size_t tensor, RowRange rows,
                                            std::vector<std::byte>& scratch) const {
    const Origin& origin = origins_[tensor];
    const std::size_t row_size = row_bytes_of(tensor);
    std::vector<std::byte> result(static_cast<std::size_t>(rows.count) * row_size);
    for (std::uint64_t i = 0; i < rows.count; ++i) {
      const RowRange source{half_split_row(rows.first + i, origin.rows_per_head), 1};
      const auto row = weights_->stored_rows(origin.tensors.front(), source, scratch);
      std::memcpy(result.data() + static_cast<std::size_t>(i) * row_size, row.data(), row_size);
    }
    scratch = std::move(result);
    return scratch;
  }

  /// A bias or the scales have one element per row of their matrix, so their elements move as its rows do. In
  /// a file scales are a column.
  std::span<const std::byte> vector_as_float32(std::size_t tensor, std::vector<std::byte>& scratch) const {
    const Origin& origin = origins_[tensor];
    const std::size_t source = origin.tensors.front();
    const auto& in_file = weights_->tensors()[source];
    const auto stored = weights_->stored_rows(source, {0, in_file.rows()}, scratch);
    const auto elements = static_cast<std::size_t>(descriptors_[tensor].columns());
    return as_float32(in_file.type, stored, elements, scratch, [&](std::size_t i) {
      return origin.rows_per_head == 0 ? i : half_split_row(i, origin.rows_per_head);
    });
  }

  std::unique_ptr<WeightSource> weights_;
  std::vector<float> rope_divisors_;
  std::vector<TensorDescriptor> descriptors_;
  std::vector<Origin> origins_;
  TensorIndex index_;
};

/// What a tensor of the file is to the tensor of its rule.
enum class Part { whole, weight_scale, input_scale };

struct Match {
  const TensorRule* rule;
  NameIndices indices;
  Part part;
};

std::string_view suffix_of(Part part) { return part == Part::weight_scale ? kWeightScale : kInputScale; }

/// The name of the weight that scales of this name belong to, or `name` itself.
std::pair<std::string, Part> whole_of(const std::string& name) {
  for (const Part part : {Part::weight_scale, Part::input_scale}) {
    const std::string suffix = fmt::format(".{}", suffix_of(part));
    if (name.ends_with(suffix)) return {name.substr(0, name.size() - suffix.size()) + ".weight", part};
  }
  return {name, Part::whole};
}

void check_index(std::string_view key, std::string_view noun, std::uint32_t number, std::uint32_t index,
                 const TensorDescriptor& tensor, const std::string& file) {
  if (index < number) return;
  throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                     fmt::format("config.json says {} = {}, so there is no {} {}", key, number, noun, index));
}

Match match(const TensorDescriptor& tensor, const ModelConfig& config, const std::string& file) {
  const auto [name, part] = config.int8 ? whole_of(tensor.name) : std::pair(tensor.name, Part::whole);
  for (const TensorRule& rule : config.family->tensors) {
    const auto indices = indices_of(rule.hf_name, name);
    if (!indices) continue;
    if (is_per_layer(rule.hf_name))
      check_index("num_hidden_layers", "layer", config[Quantity::blocks], indices->layer, tensor, file);
    if (is_per_expert(rule.hf_name))
      check_index("num_local_experts", "expert", config[Quantity::experts], indices->expert, tensor, file);
    return {&rule, *indices, part};
  }
  throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                     fmt::format("{} has no tensor of this name", config.family->hf_architecture));
}

std::vector<std::uint64_t> shape_of(const TensorRule& rule, const ModelConfig& config) {
  std::vector<std::uint64_t> shape;
  if (rule.rows) shape.push_back(config[*rule.rows]);
  shape.push_back(config[rule.columns]);
  return shape;
}

std::vector<std::uint64_t> shape_in_file(const Match& found, const ModelConfig& config) {
  if (found.part == Part::input_scale) return {1};
  auto shape = shape_of(*found.rule, config);
  if (found.part == Part::weight_scale) shape.back() = 1;
  return shape;
}

void require_shape(const TensorDescriptor& tensor, const std::vector<std::uint64_t>& expected,
                   const std::string& file) {
  if (tensor.shape == expected) return;
  throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                     fmt::format("the shape is [{}], by config.json it should be [{}]",
                                 fmt::join(tensor.shape, ", "), fmt::join(expected, ", ")));
}

void require_floats(const TensorDescriptor& tensor, const ModelConfig& config, const std::string& file) {
  if (is_weight_type(tensor.type)) return;
  throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                     fmt::format("it is stored as {}, floating point was expected{}", name_of(tensor.type),
                                 config.int8 || tensor.type != ElementType::I8
                                     ? ""
                                     : "; config.json has no quantization_config for it"));
}

constexpr std::string_view kEmbedding = "token_embd.weight";

void check_match(const TensorDescriptor& tensor, const Match& found, const ModelConfig& config,
                 const std::string& file) {
  const bool is_expert = is_per_expert(found.rule->hf_name);
  if (is_expert && (found.part != Part::whole || tensor.type == ElementType::I8)) {
    throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                       "8-bit linears of mixtures of experts are not supported");
  }
  require_shape(tensor, shape_in_file(found, config), file);
  const bool may_be_int8 = config.int8 && found.part == Part::whole && found.rule->rows.has_value() &&
                           found.rule->gguf_name != kEmbedding;
  if (tensor.type != ElementType::I8 || !may_be_int8) require_floats(tensor, config, file);
}

/// Every I8 weight has the scales that the scheme asks for, and there are no others.
void check_scales(const WeightSource& source, const ModelConfig& config) {
  if (!config.int8) return;
  bool any = false;
  for (const TensorDescriptor& tensor : source.tensors()) {
    const auto refuse = [&](const std::string& message) {
      throw BadFileError({.file = source.name(), .tensor = printable(tensor.name)}, message);
    };
    const auto [weight, part] = whole_of(tensor.name);
    const auto found = source.find(weight);
    if (part != Part::whole) {
      const bool wanted = part == Part::weight_scale || config.int8->static_inputs;
      if (!wanted) refuse("config.json says that activations are dynamic, so there is no input scale");
      if (!found || source.tensors()[*found].type != ElementType::I8) {
        refuse(fmt::format("it holds scales, but '{}' is not I8", printable(weight)));
      }
    } else if (tensor.type == ElementType::I8) {
      any = true;
      const std::string stem = tensor.name.substr(0, tensor.name.rfind('.') + 1);
      for (const Part scale : {Part::weight_scale, Part::input_scale}) {
        if (scale == Part::input_scale && !config.int8->static_inputs) continue;
        const std::string name = stem + std::string(suffix_of(scale));
        if (!source.find(name)) refuse(fmt::format("it is I8, but its scales '{}' are missing", name));
      }
    }
  }
  if (any) return;
  throw BadFileError({.file = source.name()},
                     "config.json says that the model is int-quantized, but no tensor is I8");
}

TensorDescriptor presented_tensor(const TensorDescriptor& tensor, const Match& found) {
  const std::string name = with_indices(found.rule->gguf_name, found.indices);
  if (found.part != Part::whole) {
    const std::string stem = name.substr(0, name.rfind('.') + 1);
    return {stem + std::string(suffix_of(found.part)), ElementType::F32, {tensor.shape.front()}};
  }
  const bool is_float32 = tensor.shape.size() == 1 || found.rule->stored_type == StoredType::float32;
  return {name, is_float32 ? ElementType::F32 : tensor.type, tensor.shape};
}

std::uint64_t rows_per_head(const Match& found, const ModelConfig& config) {
  const bool same = found.rule->row_order == RowOrder::same || found.part == Part::input_scale;
  return same ? 0 : config[Quantity::head_size];
}

}  // namespace

void check_tensor(const TensorDescriptor& tensor, const TensorRule& rule, const ModelConfig& config,
                  const std::string& file) {
  require_shape(tensor, shape_of(rule, config), file);
  require_floats(tensor, config, file);
}

void require_all(const std::set<std::string_view>& present, const ModelConfig& config,
                 const std::string& file) {
  for (const TensorRule& rule : config.family->tensors) {
    if (rule.presence == Presence::optional) continue;
    if (rule.presence == Presence::unless_tied && config.tied_embeddings) continue;
    const std::uint32_t layers = is_per_layer(rule.hf_name) ? config[Quantity::blocks] : 1;
    const std::uint32_t experts = is_per_expert(rule.hf_name) ? config[Quantity::experts] : 1;
    for (NameIndices indices; indices.layer < layers; ++indices.layer) {
      for (indices.expert = 0; indices.expert < experts; ++indices.expert) {
        const std::string name = with_indices(rule.hf_name, indices);
        if (!present.contains(name))
          throw BadFileError({.file = file, .tensor = name}, "this tensor is missing");
      }
    }
  }
}

std::unique_ptr<WeightSource> present_as_gguf(std::unique_ptr<WeightSource> weights,
                                              const ModelConfig& config) {
  const WeightSource& source = *weights;
  auto presented = std::make_unique<HfWeights>(std::move(weights), config.rope.frequency_divisors);
  ExpertStacks stacks(source, config);
  std::set<std::string_view> present;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const TensorDescriptor& tensor = source.tensors()[i];
    if (is_ignored_tensor(tensor.name)) continue;
    const Match found = match(tensor, config, source.name());
    check_match(tensor, found, config, source.name());
    if (found.part == Part::whole) present.insert(tensor.name);
    if (is_per_expert(found.rule->hf_name)) {
      for (auto& stack : stacks.add(*found.rule, found.indices, i))
        presented->add(std::move(stack.descriptor), {std::move(stack.experts), 0});
      continue;
    }
    presented->add(presented_tensor(tensor, found), {{i}, rows_per_head(found, config)});
  }
  check_scales(source, config);
  require_all(present, config, source.name());
  return presented;
}

}  // namespace tessera::model
