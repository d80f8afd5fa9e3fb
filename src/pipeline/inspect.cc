#include "pipeline/inspect.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "foundation/formats/gguf/gguf_file.h"
#include "foundation/formats/safetensors/safetensors_source.h"
#include "model/architecture/family.h"
#include "model/architecture/tensor_name.h"

namespace tessera::pipeline {
namespace {

using nlohmann::json;

bool is_importance_matrix(const gguf::Metadata& metadata) {
  return metadata.text("general.type") == "imatrix" || metadata.contains("imatrix.chunk_count");
}

FileDescription describe_gguf(const std::filesystem::path& path) {
  const auto file = gguf::open_gguf(path);
  FileDescription description{path.string(), FileKind::gguf, file->metadata(), {}, {}};
  if (is_importance_matrix(file->metadata())) {
    description.kind = FileKind::importance_matrix;
    description.importance = imatrix::read_imatrix(path);
  } else {
    description.tensors.assign(file->tensors().begin(), file->tensors().end());
  }
  return description;
}

void add(TensorGroup& group, const TensorDescriptor& tensor) {
  ++group.tensors;
  group.weights += tensor.weights();
  group.bytes += tensor.bytes();
}

json to_json(const TensorGroup& group) {
  return {{"tensors", group.tensors},
          {"weights", group.weights},
          {"bytes", group.bytes},
          {"bits_per_weight", group.bits_per_weight()}};
}

json item_to_json(const gguf::Boolean& value) { return value.value != 0; }
template <class T>
json item_to_json(const T& value) {
  return value;
}

template <class Item>
json items_to_json(const std::vector<Item>& items, std::size_t max_items) {
  json list = json::array();
  for (const auto& item : items) {
    if (list.size() == max_items) break;
    list.push_back(item_to_json(item));
  }
  if (items.size() <= max_items) return list;
  return {{"length", items.size()}, {"first", std::move(list)}};
}

json array_to_json(const gguf::Array& array, std::size_t max_items) {
  return std::visit(
      [max_items](const auto& items) -> json {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(items)>, std::monostate>) {
          return json::array();
        } else {
          return items_to_json(items, max_items);
        }
      },
      array);
}

json tensors_to_json(const FileDescription& description) {
  json list = json::array();
  const auto super_weights = protected_weights(description.metadata);
  for (const auto& tensor : description.tensors) {
    const auto place = place_of_stored(tensor.name);
    json row = {{"name", tensor.name},
                {"type", name_of(tensor.type)},
                {"shape", tensor.shape},
                {"bytes", tensor.bytes()},
                {"role", name_of(place.role)}};
    if (place.layer) row["layer"] = *place.layer;
    if (const auto found = super_weights.find(tensor.name); found != super_weights.end())
      row["super_weights"] = found->second;
    list.push_back(std::move(row));
  }
  return list;
}

json importance_to_json(const imatrix::ImatrixFile& matrix) {
  json entries = json::array();
  for (const auto& [name, entry] : matrix.entries) {
    json row = {
        {"name", name}, {"columns", entry.columns}, {"experts", entry.experts()}, {"counts", entry.counts}};
    if (!entry.maxima.empty()) row["maximum"] = std::ranges::max(entry.maxima);
    if (entry.sensitivity) row["sensitivity"] = *entry.sensitivity;
    const auto fisher = matrix.fisher.find(name);
    if (fisher != matrix.fisher.end()) row["fisher"] = name_of(fisher->second.type);
    entries.push_back(std::move(row));
  }
  return {{"method", name_of(matrix.method)},
          {"datasets", matrix.datasets},
          {"chunk_count", matrix.chunk_count},
          {"chunk_size", matrix.chunk_size},
          {"entries", std::move(entries)}};
}

}  // namespace

double TensorGroup::bits_per_weight() const {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

FileDescription inspect(const std::filesystem::path& path) {
  if (gguf::is_gguf(path)) return describe_gguf(path);
  FileDescription description{path.string(), FileKind::safetensors, {}, {}, {}};
  if (std::filesystem::is_directory(path) || path.extension() == ".safetensors") {
    const auto source = safetensors::open_safetensors(path);
    description.tensors.assign(source->tensors().begin(), source->tensors().end());
    return description;
  }
  description.kind = FileKind::importance_matrix;
  description.importance = imatrix::read_imatrix(path);
  return description;
}

model::TensorPlace place_of_stored(const std::string& tensor_name) {
  const auto place = model::place_of(tensor_name);
  if (place.role != model::TensorRole::other) return place;
  for (const auto& family : model::all_families()) {
    for (const auto& rule : family.tensors) {
      const auto indices = model::indices_of(rule.hf_name, tensor_name);
      if (indices) return model::place_of(model::with_indices(rule.gguf_name, *indices));
    }
  }
  return place;
}

TensorGroup total_of(const std::vector<TensorDescriptor>& tensors) {
  TensorGroup total;
  for (const auto& tensor : tensors) add(total, tensor);
  return total;
}

std::map<model::TensorRole, TensorGroup> group_by_role(const std::vector<TensorDescriptor>& tensors) {
  std::map<model::TensorRole, TensorGroup> groups;
  for (const auto& tensor : tensors) add(groups[place_of_stored(tensor.name).role], tensor);
  return groups;
}

std::map<ElementType, TensorGroup> group_by_type(const std::vector<TensorDescriptor>& tensors) {
  std::map<ElementType, TensorGroup> groups;
  for (const auto& tensor : tensors) add(groups[tensor.type], tensor);
  return groups;
}

std::map<model::TensorRole, std::map<ElementType, TensorGroup>> types_by_role(
    const std::vector<TensorDescriptor>& tensors) {
  std::map<model::TensorRole, std::map<ElementType, TensorGroup>> groups;
  for (const auto& tensor : tensors) add(groups[place_of_stored(tensor.name).role][tensor.type], tensor);
  return groups;
}

std::map<std::string, std::uint64_t> protected_weights(const gguf::Metadata& metadata) {
  const auto text = metadata.text("tessera.super_weights");
  const auto said = json::parse(text.value_or(""), nullptr, false);
  std::map<std::string, std::uint64_t> weights;
  if (!said.is_object() || !said.contains("tensors") || !said["tensors"].is_object()) return weights;
  for (const auto& [name, count] : said["tensors"].items()) {
    if (count.is_number_unsigned()) weights[name] = count;
  }
  return weights;
}

json to_json(const gguf::Value& value, std::size_t max_array_items) {
  return std::visit(
      [max_array_items](const auto& item) -> json {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(item)>, gguf::Array>) {
          return array_to_json(item, max_array_items);
        } else {
          return item;
        }
      },
      value);
}

json to_json(const FileDescription& description, std::size_t max_array_items) {
  json result = {{"path", description.path}, {"kind", name_of(description.kind)}};
  for (const auto& [key, value] : description.metadata.entries()) {
    result["metadata"][key] = to_json(value, max_array_items);
  }
  if (description.importance) {
    result["importance_matrix"] = importance_to_json(*description.importance);
    return result;
  }
  result["total"] = to_json(total_of(description.tensors));
  for (const auto& [role, group] : group_by_role(description.tensors)) {
    result["roles"][std::string(name_of(role))] = to_json(group);
  }
  for (const auto& [role, types] : types_by_role(description.tensors)) {
    for (const auto& [type, group] : types)
      result["roles"][std::string(name_of(role))]["types"][std::string(name_of(type))] = to_json(group);
  }
  for (const auto& [type, group] : group_by_type(description.tensors)) {
    result["types"][std::string(name_of(type))] = to_json(group);
  }
  result["tensors"] = tensors_to_json(description);
  return result;
}

std::string_view name_of(FileKind kind) {
  switch (kind) {
    case FileKind::gguf:
      return "gguf";
    case FileKind::safetensors:
      return "safetensors";
    case FileKind::importance_matrix:
      return "importance matrix";
  }
  return "unknown";
}

}  // namespace tessera::pipeline
