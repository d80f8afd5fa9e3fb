#include "foundation/formats/gguf/metadata.h"

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace tessera::gguf {

const Value* Metadata::find(std::string_view key) const {
  const auto found = std::ranges::find(entries_, key, &Entry::first);
  return found == entries_.end() ? nullptr : &found->second;
}

void Metadata::set(std::string_view key, Value value) {
  const auto found = std::ranges::find(entries_, key, &Entry::first);
  if (found == entries_.end()) {
    entries_.emplace_back(key, std::move(value));
  } else {
    found->second = std::move(value);
  }
}

void Metadata::erase(std::string_view key) {
  std::erase_if(entries_, [key](const Entry& entry) { return entry.first == key; });
}

std::optional<std::string> Metadata::text(std::string_view key) const {
  const Value* value = find(key);
  const auto* text = value ? std::get_if<std::string>(value) : nullptr;
  return text ? std::optional(*text) : std::nullopt;
}

std::optional<std::uint64_t> Metadata::unsigned_integer(std::string_view key) const {
  const Value* value = find(key);
  if (!value) return std::nullopt;
  return std::visit(
      [](const auto& held) -> std::optional<std::uint64_t> {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::integral<T> && !std::same_as<T, bool>) {
          if (held >= T{0}) return static_cast<std::uint64_t>(held);
        }
        return std::nullopt;
      },
      *value);
}

std::optional<double> Metadata::real(std::string_view key) const {
  const Value* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* single = std::get_if<float>(value)) return *single;
  if (const auto* twice = std::get_if<double>(value)) return *twice;
  return std::nullopt;
}

std::optional<bool> Metadata::boolean(std::string_view key) const {
  const Value* value = find(key);
  const auto* flag = value ? std::get_if<bool>(value) : nullptr;
  return flag ? std::optional(*flag) : std::nullopt;
}

const std::vector<std::string>* Metadata::texts(std::string_view key) const {
  const Value* value = find(key);
  const auto* array = value ? std::get_if<Array>(value) : nullptr;
  return array ? std::get_if<std::vector<std::string>>(array) : nullptr;
}

}  // namespace tessera::gguf
