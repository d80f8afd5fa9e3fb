#include "model/source/hf_tensor_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "model/source/int8_weights.h"

namespace tessera::model {
namespace {

constexpr std::string_view kWeight = "weight";

std::string_view suffix_of(TensorPart part) {
  return part == TensorPart::weight_scale ? kWeightScale : kInputScale;
}

void check_index(std::string_view key, std::string_view noun, std::uint32_t number, std::uint32_t index,
                 const TensorDescriptor& tensor, const std::string& file) {
  if (index < number) return;
  throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                     fmt::format("config.json says {} = {}, so there is no {} {}", key, number, noun, index));
}

std::vector<std::uint64_t> shape_of(const TensorRule& rule, const ModelConfig& config) {
  std::vector<std::uint64_t> shape;
  if (rule.rows) shape.push_back(config[*rule.rows]);
  shape.push_back(config[rule.columns]);
  return shape;
}

std::vector<std::uint64_t> shape_in_file(const HfTensorMatch& found, const ModelConfig& config) {
  if (found.part == TensorPart::input_scale) return {1};
  auto shape = shape_of(*found.rule, config);
  if (found.part == TensorPart::weight_scale) shape.back() = 1;
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

void check_match(const TensorDescriptor& tensor, const HfTensorMatch& found, const ModelConfig& config,
                 const std::string& file) {
  const bool is_expert = is_per_expert(found.rule->hf_name);
  if (is_expert && (found.part != TensorPart::whole || tensor.type == ElementType::I8)) {
    throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                       "8-bit linears of mixtures of experts are not supported");
  }
  require_shape(tensor, shape_in_file(found, config), file);
  const bool may_be_int8 = config.int8 && found.part == TensorPart::whole && found.rule->rows.has_value() &&
                           found.rule->gguf_name != kEmbedding;
  if (tensor.type != ElementType::I8 || !may_be_int8) require_floats(tensor, config, file);
}

}  // namespace

std::pair<std::string, TensorPart> whole_of(const std::string& name) {
  for (const TensorPart part : {TensorPart::weight_scale, TensorPart::input_scale}) {
    const std::string suffix = fmt::format(".{}", suffix_of(part));
    if (name.ends_with(suffix)) return {name.substr(0, name.size() - suffix.size()) + ".weight", part};
  }
  return {name, TensorPart::whole};
}

std::string with_part(const std::string& name, TensorPart part) {
  if (part == TensorPart::whole) return name;
  return name.substr(0, name.size() - kWeight.size()) + std::string(suffix_of(part));
}

std::uint64_t rows_per_head(const TensorRule& rule, TensorPart part, const ModelConfig& config) {
  const bool same = rule.row_order == RowOrder::same || part == TensorPart::input_scale;
  return same ? 0 : config[Quantity::head_size];
}

HfTensorMatch match_hf_tensor(const TensorDescriptor& tensor, const ModelConfig& config,
                              const std::string& file) {
  const auto [name, part] = config.int8 ? whole_of(tensor.name) : std::pair(tensor.name, TensorPart::whole);
  for (const TensorRule& rule : config.family->tensors) {
    const auto indices = indices_of(rule.hf_name, name);
    if (!indices) continue;
    if (is_per_layer(rule.hf_name))
      check_index("num_hidden_layers", "layer", config[Quantity::blocks], indices->layer, tensor, file);
    if (is_per_expert(rule.hf_name))
      check_index("num_local_experts", "expert", config[Quantity::experts], indices->expert, tensor, file);
    const HfTensorMatch found{&rule, *indices, part};
    check_match(tensor, found, config, file);
    return found;
  }
  throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                     fmt::format("{} has no tensor of this name", config.family->hf_architecture));
}

void check_tensor(const TensorDescriptor& tensor, const TensorRule& rule, const ModelConfig& config,
                  const std::string& file) {
  require_shape(tensor, shape_of(rule, config), file);
  require_floats(tensor, config, file);
}

void require_all(const std::set<std::string_view>& present, std::string_view TensorRule::*name,
                 const ModelConfig& config, const std::string& file) {
  for (const TensorRule& rule : config.family->tensors) {
    if (rule.presence == Presence::optional) continue;
    if (rule.presence == Presence::unless_tied && config.tied_embeddings) continue;
    const std::uint32_t layers = is_per_layer(rule.hf_name) ? config[Quantity::blocks] : 1;
    const std::uint32_t experts = is_per_expert(rule.hf_name) ? config[Quantity::experts] : 1;
    for (NameIndices indices; indices.layer < layers; ++indices.layer) {
      for (indices.expert = 0; indices.expert < experts; ++indices.expert) {
        const std::string tensor = with_indices(rule.*name, indices);
        if (!present.contains(tensor))
          throw BadFileError({.file = file, .tensor = tensor}, "this tensor is missing");
      }
    }
  }
}

void require_int8_scales(const WeightSource& source, const ModelConfig& config) {
  if (!config.int8) return;
  bool any = false;
  for (const TensorDescriptor& tensor : source.tensors()) {
    const auto refuse = [&](const std::string& message) {
      throw BadFileError({.file = source.name(), .tensor = printable(tensor.name)}, message);
    };
    const auto [weight, part] = whole_of(tensor.name);
    const auto found = source.find(weight);
    if (part != TensorPart::whole) {
      const bool wanted = part == TensorPart::weight_scale || config.int8->static_inputs;
      if (!wanted) refuse("config.json says that activations are dynamic, so there is no input scale");
      if (!found || source.tensors()[*found].type != ElementType::I8) {
        refuse(fmt::format("it holds scales, but '{}' is not I8", printable(weight)));
      }
    } else if (tensor.type == ElementType::I8) {
      any = true;
      for (const TensorPart scale : {TensorPart::weight_scale, TensorPart::input_scale}) {
        if (scale == TensorPart::input_scale && !config.int8->static_inputs) continue;
        const std::string name = with_part(tensor.name, scale);
        if (!source.find(name)) refuse(fmt::format("it is I8, but its scales '{}' are missing", name));
      }
    }
  }
  if (any) return;
  throw BadFileError({.file = source.name()},
                     "config.json says that the model is int-quantized, but no tensor is I8");
}

}  // namespace tessera::model
