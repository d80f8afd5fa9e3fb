// A tensor's place in the tables of a family, whichever of its two names it goes by, and what the tables ask
// of it.
//
// Beside the tensors of the rules there are the scales of 8-bit linears (int8_weights.h): STEM.weight_scale
// and STEM.input_scale stand to the rule of STEM.weight.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "foundation/tensor/weight_source.h"
#include "model/architecture/model_config.h"
#include "model/architecture/tensor_name.h"

namespace tessera::model {

/// What a tensor is to the tensor of its rule.
enum class TensorPart { whole, weight_scale, input_scale };

/// The name of the weight that a tensor of this name holds scales of, or the name itself.
std::pair<std::string, TensorPart> whole_of(const std::string& name);
/// The name of a part of the weight `name`.
std::string with_part(const std::string& name, TensorPart part);

/// Rows of a head whose order differs between the two forms, 0: all rows are in the same order.
std::uint64_t rows_per_head(const TensorRule& rule, TensorPart part, const ModelConfig& config);

struct HfTensorMatch {
  const TensorRule* rule;
  NameIndices indices;
  TensorPart part;
};

/// The rule of a tensor of a folder, checked: its indices, its shape, its type. Throws BadFileError naming
/// `file` and the tensor.
HfTensorMatch match_hf_tensor(const TensorDescriptor& tensor, const ModelConfig& config,
                              const std::string& file);

/// Throws BadFileError naming `file` and the tensor unless its shape is that of `rule` and it holds weights.
void check_tensor(const TensorDescriptor& tensor, const TensorRule& rule, const ModelConfig& config,
                  const std::string& file);

/// Throws BadFileError naming the first tensor of the family that is not among the names in `present`, which
/// are those of the form `name`: &TensorRule::hf_name or &TensorRule::gguf_name.
void require_all(const std::set<std::string_view>& present, std::string_view TensorRule::*name,
                 const ModelConfig& config, const std::string& file);

/// Every I8 weight of a folder has the scales that the scheme of `config` asks for, there are no others, and
/// where there is a scheme there is an I8 weight. Throws BadFileError.
void require_int8_scales(const WeightSource& source, const ModelConfig& config);

}  // namespace tessera::model
