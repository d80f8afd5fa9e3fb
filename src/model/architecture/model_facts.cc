#include "model/architecture/model_facts.h"

#include <algorithm>
#include <optional>
#include <type_traits>
#include <variant>

namespace tessera::model {
namespace {

/// The integer at `key`, or the first one of an array there: per-layer values start with layer 0.
std::optional<std::uint32_t> integer_or_first(const gguf::Metadata& metadata, const std::string& key) {
  if (const auto value = metadata.unsigned_integer(key)) return static_cast<std::uint32_t>(*value);
  const auto* value = metadata.find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<gguf::Array>(value);
  if (array == nullptr) return std::nullopt;
  return std::visit(
      [](const auto& items) -> std::optional<std::uint32_t> {
        using Items = std::remove_cvref_t<decltype(items)>;
        if constexpr (std::is_same_v<Items, std::vector<std::uint32_t>> ||
                      std::is_same_v<Items, std::vector<std::int32_t>>) {
          if (!items.empty()) return static_cast<std::uint32_t>(items.front());
        }
        return std::nullopt;
      },
      *array);
}

}  // namespace

ModelFacts facts_of(const gguf::Metadata& metadata, std::span<const TensorDescriptor> tensors) {
  ModelFacts facts;
  facts.architecture = metadata.text("general.architecture").value_or("");
  const std::string prefix = facts.architecture + ".";
  facts.layer_count = integer_or_first(metadata, prefix + "block_count").value_or(0);
  facts.query_heads = integer_or_first(metadata, prefix + "attention.head_count").value_or(1);
  facts.key_value_heads =
      integer_or_first(metadata, prefix + "attention.head_count_kv").value_or(facts.query_heads);
  facts.experts = integer_or_first(metadata, prefix + "expert_count").value_or(0);
  facts.experts_used = integer_or_first(metadata, prefix + "expert_used_count").value_or(0);
  facts.has_output = std::ranges::any_of(tensors, [](const auto& t) { return t.name == "output.weight"; });
  return facts;
}

}  // namespace tessera::model
