#include "model/source/hf_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/tensor/tensor_index.h"
#include "model/architecture/tensor_name.h"
#include "model/source/hf_tensor_rules.h"

namespace tessera::model {
namespace {

constexpr std::string_view kRopeDivisors = "rope_freqs.weight";

/// Where the rows of one presented tensor come from.
struct Origin {
  std::size_t tensor = 0;           ///< in the source under GGUF names
  std::uint64_t rows_per_head = 0;  ///< 0: the order is the same
};

/// The row of a head in interleaved pairs that is row `row` of the head in halves.
std::uint64_t interleaved_row(std::uint64_t row, std::uint64_t rows_per_head) {
  const std::uint64_t in_head = row % rows_per_head;
  const std::uint64_t half = rows_per_head / 2;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

class HfNames final : public WeightSource {
 public:
  explicit HfNames(const WeightSource& weights) : weights_(weights) {}

  void add(TensorDescriptor descriptor, Origin origin) {
    if (!index_.insert(descriptor.name, descriptors_.size())) {
      throw BadFileError({.file = name(), .tensor = printable(descriptor.name)},
                         "two tensors have this name");
    }
    descriptors_.push_back(std::move(descriptor));
    origins_.push_back(origin);
  }

  const std::string& name() const override { return weights_.name(); }
  std::span<const TensorDescriptor> tensors() const override { return descriptors_; }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }

  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    const Origin& origin = origins_[tensor];
    if (is_vector(origin)) return elements(tensor, rows, scratch);
    if (origin.rows_per_head == 0) return weights_.stored_rows(origin.tensor, rows, scratch);
    const auto& stored = weights_.tensors()[origin.tensor];
    const std::uint64_t row_size = row_bytes(stored.type, stored.columns());
    std::vector<std::byte> result(rows.count * row_size);
    for (std::uint64_t i = 0; i < rows.count; ++i) {
      const RowRange from{interleaved_row(rows.first + i, origin.rows_per_head), 1};
      const auto row = weights_.stored_rows(origin.tensor, from, scratch);
      std::memcpy(result.data() + i * row_size, row.data(), row_size);
    }
    scratch = std::move(result);
    return scratch;
  }

  void discard(std::size_t tensor, RowRange rows) const override {
    const Origin& origin = origins_[tensor];
    if (is_vector(origin)) {
      rows = {0, 1};
    } else if (const std::uint64_t head = origin.rows_per_head; head != 0) {
      // The rows of a range come from all over their heads; only heads that end in the range are done with.
      const std::uint64_t first = rows.first / head * head;
      rows = {first, (rows.first + rows.count) / head * head - first};
    }
    weights_.discard(origin.tensor, rows);
  }

 private:
  bool is_vector(const Origin& origin) const { return weights_.tensors()[origin.tensor].shape.size() == 1; }

  /// Of a stored vector, which may be presented as a column: biases and scales have one element per row of
  /// their matrix and move as its rows do.
  std::span<const std::byte> elements(std::size_t tensor, RowRange rows,
                                      std::vector<std::byte>& scratch) const {
    const Origin& origin = origins_[tensor];
    const std::uint64_t per_row = descriptors_[tensor].columns();
    const std::uint64_t size = row_bytes(descriptors_[tensor].type, 1);
    const auto all = weights_.stored_rows(origin.tensor, {0, 1}, scratch);
    const std::uint64_t first = rows.first * per_row;
    std::vector<std::byte> result(rows.count * per_row * size);
    for (std::uint64_t i = 0; i * size < result.size(); ++i) {
      const std::uint64_t to = first + i;
      const std::uint64_t from = origin.rows_per_head == 0 ? to : interleaved_row(to, origin.rows_per_head);
      std::memcpy(result.data() + i * size, all.data() + from * size, size);
    }
    scratch = std::move(result);
    return scratch;
  }

  const WeightSource& weights_;
  std::vector<TensorDescriptor> descriptors_;
  std::vector<Origin> origins_;
  TensorIndex index_;
};

/// A tensor's place in the family's table.
struct Match {
  const TensorRule* rule;
  NameIndices indices;
  TensorPart part;
};

Match match(const TensorDescriptor& tensor, const ModelConfig& config, const std::string& file) {
  const auto [name, part] = whole_of(tensor.name);
  for (const TensorRule& rule : config.family->tensors) {
    const auto indices = indices_of(rule.gguf_name, name);
    const bool fits = indices && (part == TensorPart::whole || rule.rows) &&
                      (!is_per_layer(rule.gguf_name) || indices->layer < config[Quantity::blocks]);
    if (fits) return {&rule, *indices, part};
  }
  throw BadFileError({.file = file, .tensor = printable(tensor.name)},
                     fmt::format("{} with {} layers has no place for it", config.family->hf_architecture,
                                 config[Quantity::blocks]));
}

/// The tensor under its Hugging Face name, in its shape there, checked.
TensorDescriptor presented(const TensorDescriptor& tensor, const Match& found, const ModelConfig& config,
                           const WeightSource& weights) {
  TensorDescriptor result{with_part(with_indices(found.rule->hf_name, found.indices), found.part),
                          tensor.type, tensor.shape};
  if (found.part == TensorPart::whole) {
    TensorDescriptor checked = tensor;
    const std::string scales = with_part(tensor.name, TensorPart::weight_scale);
    // Codes are weights together with their scales.
    if (tensor.type == ElementType::I8 && weights.find(scales)) checked.type = ElementType::F32;
    check_tensor(checked, *found.rule, config, weights.name());
    return result;
  }
  const std::uint64_t scales = found.part == TensorPart::input_scale ? 1 : config[*found.rule->rows];
  if (tensor.shape != std::vector{scales} || tensor.type != ElementType::F32) {
    throw BadFileError({.file = weights.name(), .tensor = printable(tensor.name)},
                       fmt::format("scales are {} [{}], F32 [{}] was expected", name_of(tensor.type),
                                   fmt::join(tensor.shape, ", "), scales));
  }
  if (found.part == TensorPart::weight_scale) result.shape.push_back(1);
  return result;
}

}  // namespace

std::unique_ptr<WeightSource> present_as_hf(const WeightSource& weights, const ModelConfig& config) {
  if (config[Quantity::experts] > 0) {
    throw BadFileError({.file = weights.name()},
                       "mixtures of experts cannot be written as a Hugging Face folder yet");
  }
  auto names = std::make_unique<HfNames>(weights);
  for (std::size_t i = 0; i < weights.tensors().size(); ++i) {
    const TensorDescriptor& tensor = weights.tensors()[i];
    if (tensor.name == kRopeDivisors) continue;
    const Match found = match(tensor, config, weights.name());
    names->add(presented(tensor, found, config, weights),
               {i, rows_per_head(*found.rule, found.part, config)});
  }
  std::set<std::string_view> present;
  for (const TensorDescriptor& tensor : weights.tensors()) present.insert(tensor.name);
  require_all(present, &TensorRule::gguf_name, config, weights.name());
  return names;
}

}  // namespace tessera::model
