#include "model/source/open_model.h"

#include <cassert>

#include "foundation/base/error.h"
#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/json/json_object.h"
#include "foundation/formats/safetensors/safetensors_source.h"
#include "model/architecture/model_config.h"
#include "model/source/general_metadata.h"
#include "model/source/hf_weights.h"
#include "model/source/int8_weights.h"
#include "model/text/tokenizer_metadata.h"

namespace tessera::model {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kQuantizationVersion = 2;

ParameterCounts count_parameters(const WeightSource& weights) {
  ParameterCounts parameters;
  for (const TensorDescriptor& tensor : weights.tensors()) {
    if (is_scale_name(tensor.name)) continue;
    parameters.total += tensor.weights();
    if (tensor.shape.size() < 3) continue;
    parameters.experts = tensor.shape.front();
    parameters.per_expert += tensor.weights() / parameters.experts;
  }
  return parameters;
}

OpenedModel open_folder(const fs::path& folder, const OpenSettings& settings) {
  const json::JsonObject config_json = json::read_json_object(folder / "config.json");
  const ModelConfig config = read_model_config(config_json);
  OpenedModel model;
  // The weights come first: their shapes prove the vocabulary size before a vocabulary of that size is made.
  model.weights = present_as_gguf(safetensors::open_safetensors(folder), config);
  if (config.int8 && settings.int8_linears == Int8Linears::decoded) {
    model.weights = std::make_unique<DecodedInt8Weights>(std::move(model.weights));
  }
  model.attention_windows = config.attention_windows;
  const ParameterCounts parameters = count_parameters(*model.weights);
  model.metadata.set("general.architecture", std::string(config.family->gguf_architecture));
  model.metadata.set("general.type", std::string("model"));
  add_general_metadata(folder, config_json, parameters, model.metadata);
  add_architecture_metadata(config, file_type_of_plain(plain_type_of(*model.weights)), model.metadata);
  model.metadata.set("general.quantization_version", kQuantizationVersion);
  add_tokenizer_metadata(folder, *config.family, config_json, config[Quantity::vocabulary],
                         settings.pre_tokenizer, model.metadata);
  return model;
}

}  // namespace

ElementType plain_type_of(const WeightSource& weights) {
  for (const TensorDescriptor& tensor : weights.tensors()) {
    const bool is_16_bit = tensor.type == ElementType::F16 || tensor.type == ElementType::BF16;
    if (tensor.shape.size() > 1 && is_16_bit) return tensor.type;
  }
  return ElementType::F16;
}

std::uint32_t file_type_of_plain(ElementType type) {
  constexpr std::uint32_t kF32 = 0;
  constexpr std::uint32_t kF16 = 1;
  constexpr std::uint32_t kBF16 = 32;
  assert(type == ElementType::F32 || type == ElementType::F16 || type == ElementType::BF16);
  return type == ElementType::F32 ? kF32 : type == ElementType::F16 ? kF16 : kBF16;
}

OpenedModel open_model(const fs::path& path, const OpenSettings& settings) {
  if (fs::is_directory(path)) return open_folder(path, settings);
  auto file = gguf::open_gguf(path);
  gguf::Metadata metadata = file->metadata();
  return {std::move(file), std::move(metadata)};
}

}  // namespace tessera::model
