#include "model/source/hf_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <set>
#include <utility>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/tensor/float16.h"
#include "foundation/tensor/tensor_index.h"
#include "model/architecture/tensor_name.h"
#include "model/source/expert_stacks.h"
#include "model/source/hf_tensor_rules.h"

namespace tessera::model {
namespace {

/// Where the rows of one presented tensor come from.
struct Origin {
  /// In the Hugging Face source: one, or one for each of the experts that are stacked.
  std::vector<std::size_t> tensors;
  std::uint64_t rows_per_head = 0;  ///< 0: rows are in the same order
};

/// The input row that becomes row `row` when each head of `rows_per_head` rows goes from half-split to
/// interleaved.
std::uint64_t half_split_row(std::uint64_t row, std::uint64_t rows_per_head) {
  const std::uint64_t in_head = row % rows_per_head;
  return row - in_head + (in_head % 2) * (rows_per_head / 2) + in_head / 2;
}

float element_as_float32(ElementType type, std::span<const std::byte> elements, std::size_t index) {
  if (type == ElementType::F32) {
    float value;
    std::memcpy(&value, elements.data() + index * sizeof value, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, elements.data() + index * sizeof bits, sizeof bits);
  return type == ElementType::F16 ? float_from_half(bits) : float_from_bfloat16(bits);
}

class HfWeights : public WeightSource {
 public:
  HfWeights(std::unique_ptr<WeightSource> weights, std::vector<float> rope_divisors)
      : weights_(std::move(weights)), rope_divisors_(std::move(rope_divisors)) {
    if (rope_divisors_.empty()) return;
    add({"rope_freqs.weight", ElementType::F32, {rope_divisors_.size()}}, {{}, 0});
  }

  void add(TensorDescriptor descriptor, Origin origin) {
    index_.insert(descriptor.name, descriptors_.size());
    descriptors_.push_back(std::move(descriptor));
    origins_.push_back(std::move(origin));
  }

  const std::string& name() const override { return weights_->name(); }
  std::span<const TensorDescriptor> tensors() const override { return descriptors_; }
  std::optional<std::size_t> find(std::string_view tensor_name) const override {
    return index_.find(tensor_name);
  }

  std::span<const std::byte> stored_rows(std::size_t tensor, RowRange rows,
                                         std::vector<std::byte>& scratch) const override {
    if (is_rope_divisors(tensor)) return std::as_bytes(std::span(rope_divisors_));
    const Origin& origin = origins_[tensor];
    if (descriptors_[tensor].shape.size() == 1) return vector_as_float32(tensor, scratch);
    if (origin.tensors.size() > 1) return stacked_rows(tensor, rows, scratch);
    if (origin.rows_per_head != 0) return reordered_rows(tensor, rows, scratch);
    if (weights_->tensors()[origin.tensors.front()].type != descriptors_[tensor].type)
      return rows_as_float32(tensor, rows, scratch);
    return weights_->stored_rows(origin.tensors.front(), rows, scratch);
  }

  void discard(std::size_t tensor, RowRange rows) const override {
    if (is_rope_divisors(tensor)) return;
    const Origin& origin = origins_[tensor];
    if (origin.tensors.size() > 1) {
      for_each_expert(tensor, rows,
                      [&](std::size_t source, const RowRange& part) { weights_->discard(source, part); });
      return;
    }
    if (descriptors_[tensor].shape.size() == 1) {
      rows = {0, weights_->tensors()[origin.tensors.front()].rows()};
    } else if (origin.rows_per_head != 0) {
      // The rows of a range come from all over their heads; only heads that end in the range are done with.
      const std::uint64_t first = rows.first / origin.rows_per_head * origin.rows_per_head;
      rows = {first, (rows.first + rows.count) / origin.rows_per_head * origin.rows_per_head - first};
    }
    weights_->discard(origin.tensors.front(), rows);
  }

 private:
  bool is_rope_divisors(std::size_t tensor) const { return tensor == 0 && !rope_divisors_.empty(); }

  std::size_t row_bytes_of(std::size_t tensor) const {
    return static_cast<std::size_t>(descriptors_[tensor].bytes() / descriptors_[tensor].rows());
  }

  /// visit(tensor of the source, its rows) for the experts of a stacked tensor that have a share in `rows`.
  template <class Visit>
  void for_each_expert(std::size_t tensor, const RowRange& rows, const Visit& visit) const {
    const std::uint64_t rows_per_expert = descriptors_[tensor].rows() / origins_[tensor].tensors.size();
    for (std::uint64_t row = rows.first; row < rows.first + rows.count;) {
      const std::uint64_t in_expert = row % rows_per_expert;
      const std::uint64_t count = std::min(rows_per_expert - in_expert, rows.first + rows.count - row);
      visit(origins_[tensor].tensors[row / rows_per_expert], {in_expert, count});
      row += count;
    }
  }

  std::span<const std::byte> stacked_rows(std::size_t tensor, const RowRange& rows,
                                          std::vector<std::byte>& scratch) const {
    const std::size_t bytes = static_cast<std::size_t>(rows.count) * row_bytes_of(tensor);
    std::span<const std::byte> found;
    std::vector<std::byte> result;
    for_each_expert(tensor, rows, [&](std::size_t source, const RowRange& part) {
      found = weights_->stored_rows(source, part, scratch);
      if (found.size() < bytes) result.insert(result.end(), found.begin(), found.end());
    });
    if (found.size() == bytes) return found;
    scratch = std::move(result);
    return scratch;
  }

  std::span<const std::byte> rows_as_float32(std::size_t tensor, const RowRange& rows,
                                             std::vector<std::byte>& scratch) const {
    const std::size_t source = origins_[tensor].tensors.front();
    const auto stored = weights_->stored_rows(source, rows, scratch);
    const auto elements = static_cast<std::size_t>(rows.count * descriptors_[tensor].columns());
    return as_float32(weights_->tensors()[source].type, stored, elements, scratch,
                      [](std::size_t i) { return i; });
  }

  /// Element i of the result is element from(i) of `stored`, which may lie in `scratch`.
  template <class From>
  static std::span<const std::byte> as_float32(ElementType type, std::span<const std::byte> stored,
                                               std::size_t elements, std::vector<std::byte>& scratch,
                                               const From& from) {
    std::vector<std::byte> result(elements * sizeof(float));
    for (std::size_t i = 0; i < elements; ++i) {
      const float value = element_as_float32(type, stored, static_cast<std::size_t>(from(i)));
      std::memcpy(result.data() + i * sizeof(float), &value, sizeof(float));
    }
    scratch = std::move(result);
    return scratch;
  }

  std::span<const std::byte> reordered_rows(std::size_t tensor, RowRange rows,
                                            std::vector<std::byte>& scratch) const {
    const Origin& origin = origins_[tensor];
    const std::size_t row_size = row_bytes_of(tensor);
    std::vector<std::byte> result(static_cast<std::size_t>(rows.count) * row_size);
    for (std::uint64_t i = 0; i < rows.count; ++i) {
      const RowRange source{half_split_row(rows.first + i, origin.rows_per_head), 1};
      const auto row = weights_->stored_rows(origin.tensors.front(), source, scratch);
      std::memcpy(result.data() + static_cast<std::size_t>(i) * row_size, row.data(), row_size);
    }
    scratch = std::move(result);
    return scratch;
  }

  /// A bias or the scales have one element per row of their matrix, so their elements move as its rows do. In
  /// a file scales are a column.
  std::span<const std::byte> vector_as_float32(std::size_t tensor, std::vector<std::byte>& scratch) const {
    const Origin& origin = origins_[tensor];
    const std::size_t source = origin.tensors.front();
    const auto& in_file = weights_->tensors()[source];
    const auto stored = weights_->stored_rows(source, {0, in_file.rows()}, scratch);
    const auto elements = static_cast<std::size_t>(descriptors_[tensor].columns());
    return as_float32(in_file.type, stored, elements, scratch, [&](std::size_t i) {
      return origin.rows_per_head == 0 ? i : half_split_row(i, origin.rows_per_head);
    });
  }

  std::unique_ptr<WeightSource> weights_;
  std::vector<float> rope_divisors_;
  std::vector<TensorDescriptor> descriptors_;
  std::vector<Origin> origins_;
  TensorIndex index_;
};

TensorDescriptor presented_tensor(const TensorDescriptor& tensor, const HfTensorMatch& found) {
  const std::string name = with_part(with_indices(found.rule->gguf_name, found.indices), found.part);
  if (found.part != TensorPart::whole) return {name, ElementType::F32, {tensor.shape.front()}};
  const bool is_float32 = tensor.shape.size() == 1 || found.rule->stored_type == StoredType::float32;
  return {name, is_float32 ? ElementType::F32 : tensor.type, tensor.shape};
}

}  // namespace

std::unique_ptr<WeightSource> present_as_gguf(std::unique_ptr<WeightSource> weights,
                                              const ModelConfig& config) {
  const WeightSource& source = *weights;
  auto presented = std::make_unique<HfWeights>(std::move(weights), config.rope.frequency_divisors);
  ExpertStacks stacks(source, config);
  std::set<std::string_view> present;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const TensorDescriptor& tensor = source.tensors()[i];
    if (is_ignored_tensor(tensor.name)) continue;
    const HfTensorMatch found = match_hf_tensor(tensor, config, source.name());
    if (found.part == TensorPart::whole) present.insert(tensor.name);
    if (is_per_expert(found.rule->hf_name)) {
      for (auto& stack : stacks.add(*found.rule, found.indices, i))
        presented->add(std::move(stack.descriptor), {std::move(stack.experts), 0});
      continue;
    }
    presented->add(presented_tensor(tensor, found), {{i}, rows_per_head(*found.rule, found.part, config)});
  }
  require_int8_scales(source, config);
  require_all(present, &TensorRule::hf_name, config, source.name());
  return presented;
}

}  // namespace tessera::model
