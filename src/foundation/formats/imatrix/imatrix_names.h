// The GGUF form of an importance matrix: names of its tensors and keys.
//
// llama.cpp's part, shared/formats/GGUF.md section 5. Per weight NAME the F32 tensors
//
//     NAME.in_sum2  [experts, columns]  sum over tokens of the squared activation
//     NAME.counts   [experts, 1]        tokens summed
//     NAME.in_sum   [experts, columns]  sum over tokens of the activation; optional
//
// (one-dimensional for a single matrix) and the keys general.type, imatrix.datasets, imatrix.chunk_count,
// imatrix.chunk_size. Tessera's part, which llama.cpp's readers pass over:
//
//     NAME.in_max   [experts, columns]  F32             largest |activation|
//     NAME.sens     [1]                 F32             sensitivity of the tensor
//     NAME.fisher   the weight's shape  F32, F16, BF16  mean squared gradient of every weight
//
//     tessera.method  activation (also when missing), gradient or fisher: what in_sum2 sums
//     tessera.version, tessera.model_hash, tessera.data_hash, tessera.options
//
// No suffix is longer than .in_sum2, so a NAME that has room for llama.cpp's tensors (55 bytes) has it for
// ours. Other tensors and keys are passed over.
#pragma once

#include <string_view>

namespace tessera::imatrix {

constexpr std::string_view kSumsSuffix = ".in_sum2";
constexpr std::string_view kCountsSuffix = ".counts";
constexpr std::string_view kSignedSumsSuffix = ".in_sum";
constexpr std::string_view kMaximaSuffix = ".in_max";
constexpr std::string_view kSensitivitySuffix = ".sens";
constexpr std::string_view kFisherSuffix = ".fisher";

constexpr std::string_view kTypeKey = "general.type";
constexpr std::string_view kTypeValue = "imatrix";
constexpr std::string_view kDatasetsKey = "imatrix.datasets";
constexpr std::string_view kChunkCountKey = "imatrix.chunk_count";
constexpr std::string_view kChunkSizeKey = "imatrix.chunk_size";
constexpr std::string_view kMethodKey = "tessera.method";
constexpr std::string_view kVersionKey = "tessera.version";
constexpr std::string_view kModelHashKey = "tessera.model_hash";
constexpr std::string_view kDataHashKey = "tessera.data_hash";
constexpr std::string_view kOptionsKey = "tessera.options";

}  // namespace tessera::imatrix
