// What config.json says of a W8A8 model: "quantization_config" as the compressed-tensors library writes it
// for format "int-quantized" (https://github.com/vllm-project/compressed-tensors, quant_config.py and
// quant_args.py), and as vLLM and transformers read it:
//
//   quant_method         "compressed-tensors"
//   format               "int-quantized", in groups too where they say it
//   quantization_status  "compressed"
//   config_groups        one or more, all alike:
//     weights            8 bits, int, symmetric, strategy "channel", not dynamic
//     input_activations  8 bits, int, symmetric; "token" and dynamic, or "tensor" and not dynamic
//
// Which linears a group means ("targets", "ignore") the tensors tell: those of int8 are quantized.
#pragma once

#include "foundation/formats/json/json_object.h"

namespace tessera::model {

/// Symmetric int8 weights with a scale per output channel, symmetric int8 activations.
struct Int8Scheme {
  bool static_inputs = false;  ///< one input scale per linear in the file; else each token has its own
};

/// Reads a "quantization_config" of method compressed-tensors. Throws BadFileError naming the key of anything
/// that is not the scheme above: other bits, asymmetric, groups, reordered columns, quantized outputs or
/// caches, sparsity, transforms.
Int8Scheme read_int8_scheme(const json::JsonObject& quantization);

/// The same the other way round, with all keys that compressed-tensors 0.17 writes; lm_head is what the
/// linears' group leaves out.
json::Value to_quantization_config(const Int8Scheme& scheme);

}  // namespace tessera::model
