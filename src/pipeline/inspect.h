// What is in a file: the description behind `tessera inspect`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/imatrix/imatrix_file.h"
#include "foundation/tensor/tensor_descriptor.h"
#include "model/architecture/tensor_role.h"

namespace tessera::pipeline {

enum class FileKind { gguf, safetensors, importance_matrix };

struct TensorGroup {
  std::uint64_t tensors = 0;
  std::uint64_t weights = 0;
  std::uint64_t bytes = 0;

  double bits_per_weight() const;
};

struct FileDescription {
  std::string path;
  FileKind kind = FileKind::gguf;
  gguf::Metadata metadata;                         ///< GGUF only
  std::vector<TensorDescriptor> tensors;           ///< as stored; empty for importance matrices
  std::optional<imatrix::ImatrixFile> importance;  ///< importance matrices only
};

/// Describes a GGUF file (single or split), a safetensors file or folder, or an importance matrix in either
/// form; told apart by content. Throws BadFileError.
FileDescription inspect(const std::filesystem::path& path);

TensorGroup total_of(const std::vector<TensorDescriptor>& tensors);
/// Role and layer of a tensor under its GGUF name or under its Hugging Face name in any supported family.
model::TensorPlace place_of_stored(const std::string& tensor_name);
/// By role, as place_of_stored finds it.
std::map<model::TensorRole, TensorGroup> group_by_role(const std::vector<TensorDescriptor>& tensors);
std::map<ElementType, TensorGroup> group_by_type(const std::vector<TensorDescriptor>& tensors);

/// The types within each role: where a model is stored in mixed precision.
std::map<model::TensorRole, std::map<ElementType, TensorGroup>> types_by_role(
    const std::vector<TensorDescriptor>& tensors);
/// How many super weights of each tensor `quantize --protect-super-weights` protected; empty when it did not,
/// or does not say so in a form that can be read.
std::map<std::string, std::uint64_t> protected_weights(const gguf::Metadata& metadata);

/// The description for machines. Arrays of the metadata are cut to `max_array_items`, their length is given.
nlohmann::json to_json(const FileDescription& description, std::size_t max_array_items = 8);
/// One metadata value; a cut array becomes {"length": N, "first": [...]}.
nlohmann::json to_json(const gguf::Value& value, std::size_t max_array_items);

std::string_view name_of(FileKind kind);

}  // namespace tessera::pipeline
