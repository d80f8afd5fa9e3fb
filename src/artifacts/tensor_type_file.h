// A plan in the form that llama-quantize takes with --tensor-type-file.
//
// The file is a list of PATTERN=TYPE, separated by white space; it has no comments. Observed of 0.7.0:
//   - a pattern is lower-cased and searched as a regular expression in the tensor's name; the first that is
//     found decides, also for token_embd.weight and output.weight;
//   - nothing is overridden when the file type asked for is F32, F16, BF16 or COPY;
//   - a type that needs an importance matrix needs --imatrix, whatever the file type.
// With a pattern for every tensor that may be quantized, the file type only names the output:
//
//   llama-quantize --imatrix IMATRIX --tensor-type-file FILE MODEL OUT TYPE
#pragma once

#include <string>

#include "artifacts/quant_plan.h"

namespace tessera {

/// One pattern a line, anchored on both sides, for every tensor that may be quantized.
std::string to_tensor_type_file(const QuantPlan& plan);

/// The TYPE for the command above: the plan's file type, or Q8_0 where llama-quantize has none of this name
/// or would override nothing.
std::string llama_quantize_type(const QuantPlan& plan);

}  // namespace tessera
