// Opening a model as people have it: a GGUF file (single or split) or a Hugging Face folder.
//
// Either way the caller sees GGUF tensor names, GGUF's row order and GGUF metadata, so that everything above
// does not know where a model came from.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/tensor/weight_source.h"

namespace tessera::model {

struct OpenedModel {
  std::unique_ptr<WeightSource> weights;  ///< tensors under GGUF names, in the order to be written
  gguf::Metadata metadata;                ///< as a GGUF file of this model carries it
  /// Sliding attention windows in tokens by layer, 0: none; empty: none at all. The GGUF architectures of
  /// these families have no key for them and runtimes ignore them, so only a folder says it.
  std::vector<std::uint32_t> attention_windows = {};
};

/// How the W8A8 linears of a folder appear.
enum class Int8Linears {
  decoded,  ///< as F32: to everything that knows floats alone
  kept,     ///< as codes and scales (int8_weights.h): to integer inference
};

struct OpenSettings {
  /// llama.cpp's name of the pre-tokenizer of a byte-level BPE vocabulary (tokenizer.ggml.pre). Empty: told
  /// from tokenizer.json, refused when unknown. Used for Hugging Face folders only.
  std::string pre_tokenizer = {};
  Int8Linears int8_linears = Int8Linears::decoded;
};

/// Opens `path`. A folder must hold config.json; an unsupported family is refused by name, with the list of
/// supported ones. Of a folder, general.file_type is that of `plain_type_of`. Throws BadFileError.
OpenedModel open_model(const std::filesystem::path& path, const OpenSettings& settings = {});

/// The 16-bit type that keeps most of the weights: BF16 or F16, whichever the first matrix stored in 16 bits
/// has; F16 when there is none.
ElementType plain_type_of(const WeightSource& weights);

/// general.file_type of a model whose matrices are all F32, F16 or BF16.
std::uint32_t file_type_of_plain(ElementType type);

}  // namespace tessera::model
