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
#include "model/source/int8_weights.h"

namespace tessera::model {
namespace {

/// Where the rows of one presented tensor come from.
struct Origin {
  std::size_t tensor = 0;           ///< in the Hugging Face source
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
    add({"rope_freqs.weight", ElementType::F32, {rope_divisors_.size()}}, {});
  }

  void add(TensorDescriptor descriptor, Origin origin) {
    index_.insert(descriptor.name, descriptors_.size());
    descriptors_.push_back(std::move(descriptor));
    origins_.push_back(origin);
  }

  const std::string& name() const override { return weights_->name(); }
  std::span<const TensorDescriptor> tensors() const override { return descriptors_; }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }

  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    if (is_rope_divisors(tensor)) return std::as_bytes(std::span(rope_divisors_));
    if (descriptors_[tensor].shape.size() == 1) return vector_as_float32(tensor, scratch);
    if (origins_[tensor].rows_per_head != 0) return reordered_rows(tensor, rows, scratch);
    return weights_->stored_rows(origins_[tensor].tensor, rows, scratch);
  }

  void discard(std::size_t tensor, RowRange rows) const override {
    if (is_rope_divisors(tensor)) return;
    const Origin& origin = origins_[tensor];
    if (descriptors_[tensor].shape.size() == 1) {
      rows = {0, weights_->tensors()[origin.tensor].rows()};
    } else if (origin.rows_per_head != 0) {
      // The rows of a range come from all over their heads; only heads that end in the range are done with.
      const std::uint64_t first = rows.first / origin.rows_per_head * origin.rows_per_head;
      rows = {first, (rows.first + rows.count) / origin.rows_per_head * origin.rows_per_head - first};
    }
    weights_->discard(origin.tensor, rows);
  }

 private:
  bool is_rope_divisors(std::size_t tensor) const { return tensor == 0 && !rope_divisors_.empty(); }

  std::span<const std::byte> reordered_rows(std::size_t tensor, RowRange rows,
                                            std::vector<std::byte>& scratch) const {
    const Origin& origin = origins_[tensor];
    const auto row_size =
        static_cast<std::size_t>(descriptors_[tensor].bytes() / descriptors_[tensor].rows());
    std::vector<std::byte> result(static_cast<std::size_t>(rows.count) * row_size);
    for (std::uint64_t i = 0; i < rows.count; ++i) {
      const RowRange source{half_split_row(rows.first + i, origin.rows_per_head), 1};
      const auto row = weights_->stored_rows(origin.tensor, source, scratch);
      std::memcpy(result.data() + static_cast<std::size_t>(i) * row_size, row.data(), row_size);
    }
    scratch = std::move(result);
    return scratch;
  }

  /// A bias or the scales have one element per row of their matrix, so their elements move as its rows do. In
  /// a file scales are a column.
  std::span<const std::byte> vector_as_float32(std::size_t tensor, std::vector<std::byte>& scratch) const {
    const Origin& origin = origins_[tensor];
    const auto& stored = weights_->tensors()[origin.tensor];
    const auto source = weights_->stored_rows(origin.tensor, {0, stored.rows()}, scratch);
    const auto elements = static_cast<std::size_t>(descriptors_[tensor].columns());
    std::vector<std::byte> result(elements * sizeof(float));
    for (std::size_t i = 0; i < elements; ++i) {
      const std::uint64_t from = origin.rows_per_head == 0 ? i : half_split_row(i, origin.rows_per_head);
      const float value = element_as_float32(stored.type, source, static_cast<std::size_t>(from));
      std::memcpy(result.data() + i * sizeof(float), &value, sizeof(float));
    }
    scratch = std::move(result);
    return scratch;
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
  std::uint32_t layer;
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

Match match(const TensorDescriptor& tensor, const ModelConfig& config, const std::string& file) {
  const auto [name, part] = config.int8 ? whole_of(tensor.name) : std::pair(tensor.name, Part::whole);
  for (const TensorRule& rule : config.family->tensors) {
    const auto layer = layer_of(rule.hf_name, name);
    if (!layer) continue;
    if (is_per_layer(rule.hf_name) && *layer >= config[Quantity::blocks]) {
      throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                         fmt::format("config.json says num_hidden_layers = {}, so there is no layer {}",
                                     config[Quantity::blocks], *layer));
    }
    return {&rule, *layer, part};
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
  const std::string name = with_layer(found.rule->gguf_name, found.layer);
  if (found.part != Part::whole) {
    const std::string stem = name.substr(0, name.rfind('.') + 1);
    return {stem + std::string(suffix_of(found.part)), ElementType::F32, {tensor.shape.front()}};
  }
  return {name, tensor.shape.size() == 1 ? ElementType::F32 : tensor.type, tensor.shape};
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
    for (std::uint32_t layer = 0; layer < layers; ++layer) {
      const std::string name = with_layer(rule.hf_name, layer);
      if (!present.contains(name))
        throw BadFileError({.file = file, .tensor = name}, "this tensor is missing");
    }
  }
}

std::unique_ptr<WeightSource> present_as_gguf(std::unique_ptr<WeightSource> weights,
                                              const ModelConfig& config) {
  const WeightSource& source = *weights;
  auto presented = std::make_unique<HfWeights>(std::move(weights), config.rope.frequency_divisors);
  std::set<std::string_view> present;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const TensorDescriptor& tensor = source.tensors()[i];
    if (is_ignored_tensor(tensor.name)) continue;
    const Match found = match(tensor, config, source.name());
    check_match(tensor, found, config, source.name());
    if (found.part == Part::whole) present.insert(tensor.name);
    presented->add(presented_tensor(tensor, found), {i, rows_per_head(found, config)});
  }
  check_scales(source, config);
  require_all(present, config, source.name());
  return presented;
}

}  // namespace tessera::model
