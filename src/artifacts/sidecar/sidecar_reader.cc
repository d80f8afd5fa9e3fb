// Reads a sidecar: the sparse form says everything but the differences, which the adapter holds. What was
// read is laid out again and must be what the file has, so the two forms say the same.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "artifacts/sidecar.h"
#include "artifacts/sidecar/sidecar_tensors.h"
#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/base/printable.h"
#include "foundation/formats/gguf/header.h"
#include "foundation/tensor/float16.h"

namespace tessera {
namespace {

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& file)
      : bytes_(bytes), file_(file), header_(gguf::read_header(bytes, file)) {
    for (const auto& tensor : header_.tensors) stored_[tensor.descriptor.name] = &tensor;
  }

  Sidecar read() const {
    check_kind();
    Sidecar sidecar;
    sidecar.architecture = text("general.architecture");
    sidecar.base_hash = text(sidecar::kBaseHashKey);
    if (sidecar.base_hash.size() != sidecar::kHashDigits)
      refuse_key(sidecar::kBaseHashKey, fmt::format("a text of {} digits", sidecar::kHashDigits));
    read_weights(sidecar);
    for (auto& tensor : sidecar.tensors) read_adapter(tensor);
    if (header_.tensors.size() != 2 * sidecar.tensors.size())
      refuse("it has tensors that its sparse form does not name: make the sidecar anew");
    return sidecar;
  }

 private:
  void check_kind() const {
    if (text("general.type") != "adapter" || text("adapter.type") != "lora") refuse("it is no LoRA adapter");
    if (header_.metadata.real("adapter.lora.alpha") != 1.0) refuse_key("adapter.lora.alpha", "1");
    if (!header_.metadata.contains(sidecar::kVersionKey)) {
      refuse(fmt::format("it is an adapter but no sidecar of Tessera: it has no metadata key '{}'",
                         sidecar::kVersionKey));
    }
    if (header_.metadata.unsigned_integer(sidecar::kVersionKey) != sidecar::kVersion) {
      refuse_key(sidecar::kVersionKey,
                 fmt::format("{}; use the version of Tessera that made it", sidecar::kVersion));
    }
  }

  void read_weights(Sidecar& sidecar) const {
    const auto* names = header_.metadata.texts(sidecar::kTensorsKey);
    if (names == nullptr) refuse_key(sidecar::kTensorsKey, "an array of strings");
    for (const auto& name : *names) sidecar.tensors.push_back(shaped(name));
    const auto& tensors = array<std::uint32_t>(sidecar::kTensorKey);
    const auto& rows = array<std::uint32_t>(sidecar::kRowKey);
    const auto& columns = array<std::uint32_t>(sidecar::kColumnKey);
    const auto& values = array<float>(sidecar::kValueKey);
    if (rows.size() != tensors.size() || columns.size() != tensors.size() || values.size() != tensors.size())
      refuse("the arrays of its sparse form differ in length");
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i] >= names->size() || (i > 0 && tensors[i] < tensors[i - 1]))
        refuse_key(sidecar::kTensorKey, fmt::format("in order and below {}", names->size()));
      add(sidecar.tensors[tensors[i]], {rows[i], columns[i], values[i], 0});
    }
    for (const auto& tensor : sidecar.tensors) {
      if (tensor.weights.empty()) refuse_tensor(tensor.name, "its sparse form has no weight of it");
    }
  }

  /// A tensor of the model with the shape that its pair says.
  SidecarTensor shaped(const std::string& name) const {
    const auto& a = stored(name + ".lora_a").descriptor;
    const auto& b = stored(name + ".lora_b").descriptor;
    if (a.shape.size() != 2 || b.shape.size() != 2 || a.type != ElementType::F16 ||
        b.type != ElementType::F16)
      refuse_tensor(name, "its adapter is no pair of F16 matrices");
    return {name, b.rows(), a.columns(), {}};
  }

  void add(SidecarTensor& tensor, const SidecarWeight& weight) const {
    const auto place = [](const SidecarWeight& any) { return std::pair(any.row, any.column); };
    if (weight.row >= tensor.rows || weight.column >= tensor.columns) {
      refuse_tensor(tensor.name, fmt::format("row {}, column {} is outside of its {} rows and {} columns",
                                             weight.row, weight.column, tensor.rows, tensor.columns));
    }
    if (!tensor.weights.empty() && place(tensor.weights.back()) >= place(weight)) {
      refuse_tensor(tensor.name, fmt::format("row {}, column {} is out of order or stands twice", weight.row,
                                             weight.column));
    }
    if (!std::isfinite(weight.value)) {
      refuse_tensor(tensor.name, fmt::format("the value at row {}, column {} is {}", weight.row,
                                             weight.column, weight.value));
    }
    tensor.weights.push_back(weight);
  }

  void read_adapter(SidecarTensor& tensor) const {
    const auto [by_rows, lines] = lines_of(tensor);
    const auto descriptors = sidecar::pair_of(tensor);
    for (const auto& descriptor : descriptors) {
      if (stored(descriptor.name).descriptor == descriptor) continue;
      refuse_tensor(descriptor.name,
                    fmt::format("its rank is not {}, that of the sparse form", lines.size()));
    }
    const auto& values = stored(descriptors[by_rows ? 0 : 1].name);
    for (auto& weight : tensor.weights) {
      const auto line = by_rows ? weight.row : weight.column;
      const auto k = static_cast<std::uint64_t>(std::ranges::lower_bound(lines, line) - lines.begin());
      weight.difference =
          half_at(values, by_rows ? k * tensor.columns + weight.column : weight.row * lines.size() + k);
      if (!std::isfinite(weight.difference)) {
        refuse_tensor(tensor.name, fmt::format("what is added at row {}, column {} is {}", weight.row,
                                               weight.column, weight.difference));
      }
    }
    require_consistent(tensor);
  }

  void require_consistent(const SidecarTensor& tensor) const {
    const auto halves = sidecar::halves_of(tensor);
    const auto descriptors = sidecar::pair_of(tensor);
    for (std::size_t i = 0; i < halves.size(); ++i) {
      const auto& place = stored(descriptors[i].name);
      if (std::ranges::equal(std::as_bytes(std::span(halves[i])), bytes_.subspan(place.begin, place.bytes)))
        continue;
      refuse_tensor(descriptors[i].name, "it is not what the sparse form says: make the sidecar anew");
    }
  }

  float half_at(const gguf::StoredTensor& tensor, std::uint64_t index) const {
    std::uint16_t half = 0;
    std::memcpy(&half, bytes_.data() + tensor.begin + index * sizeof half, sizeof half);
    return float_from_half(half);
  }

  const gguf::StoredTensor& stored(const std::string& name) const {
    const auto found = stored_.find(name);
    if (found == stored_.end()) refuse_tensor(name, "the adapter does not have it");
    return *found->second;
  }

  std::string text(std::string_view key) const {
    const auto value = header_.metadata.text(key);
    if (!value) refuse_key(key, "a text");
    return *value;
  }

  template <class T>
  const std::vector<T>& array(std::string_view key) const {
    const auto* value = header_.metadata.find(key);
    const auto* array = value != nullptr ? std::get_if<gguf::Array>(value) : nullptr;
    const auto* items = array != nullptr ? std::get_if<std::vector<T>>(array) : nullptr;
    if (items == nullptr) refuse_key(key, "an array of 32-bit numbers");
    return *items;
  }

  [[noreturn]] void refuse(const std::string& message) const { throw BadFileError({.file = file_}, message); }
  [[noreturn]] void refuse_key(std::string_view key, const std::string& expected) const {
    refuse(fmt::format("metadata key '{}' is missing or not {}", key, expected));
  }
  [[noreturn]] void refuse_tensor(const std::string& name, const std::string& message) const {
    throw BadFileError({.file = file_, .tensor = printable(name)}, message);
  }

  std::span<const std::byte> bytes_;
  const std::string& file_;
  gguf::Header header_;
  std::map<std::string_view, const gguf::StoredTensor*> stored_;
};

}  // namespace

Sidecar parse_sidecar(std::span<const std::byte> bytes, const std::string& file) {
  return Reader(bytes, file).read();
}

Sidecar read_sidecar(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_sidecar(file.bytes(), path.string());
}

}  // namespace tessera
