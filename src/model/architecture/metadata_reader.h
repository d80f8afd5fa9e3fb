// Typed, checked access to the metadata of a GGUF file below its architecture: "llama.block_count" is
// "block_count".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "foundation/formats/gguf/metadata.h"

namespace tessera::model {

/// Keys are those behind "ARCHITECTURE.". A key that is given with a value of the wrong type or out of range
/// is a BadFileError naming file and key.
class MetadataReader {
 public:
  /// `metadata` outlives it; errors call the file `file`. Throws BadFileError without general.architecture.
  MetadataReader(const gguf::Metadata& metadata, const std::string& file);

  const std::string& architecture() const { return architecture_; }
  bool contains(std::string_view key) const { return metadata_.contains(full(key)); }
  /// One whole number from 1 to 2^31 - 1.
  std::optional<std::uint32_t> size(std::string_view key) const;
  /// A positive, finite number, as short as it can be written: 1e-05 where float32 holds 9.9999997e-06.
  std::optional<double> positive(std::string_view key) const;
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;

  /// A BadFileError about `key`.
  [[noreturn]] void fail(std::string_view key, const std::string& what_is_wrong) const;

 private:
  std::string full(std::string_view key) const;

  const gguf::Metadata& metadata_;
  std::string file_;
  std::string architecture_;
};

}  // namespace tessera::model
