// The place of every tensor by its name: what sources with many tensors use for find() and against duplicate
// names.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tessera {

class TensorIndex {
 public:
  /// Notes that `name` is tensor number `tensor`. False, and nothing changes, when the name is already there.
  bool insert(std::string_view name, std::size_t tensor) {
    return places_.try_emplace(std::string(name), tensor).second;
  }

  std::optional<std::size_t> find(std::string_view name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> places_;
};

}  // namespace tessera
