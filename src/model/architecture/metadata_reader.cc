#include "model/architecture/metadata_reader.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "foundation/base/error.h"
#include "foundation/base/printable.h"
#include "foundation/base/shortest_float32.h"

namespace tessera::model {

MetadataReader::MetadataReader(const gguf::Metadata& metadata, const std::string& file)
    : metadata_(metadata), file_(file) {
  const auto architecture = metadata.text("general.architecture");
  if (!architecture) throw BadFileError({.file = file}, "the metadata key 'general.architecture' is missing");
  architecture_ = *architecture;
}

std::optional<std::uint32_t> MetadataReader::size(std::string_view key) const {
  if (!contains(key)) return std::nullopt;
  constexpr auto kLargest = static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::max());
  const auto value = metadata_.unsigned_integer(full(key));
  if (!value || *value == 0 || *value > kLargest)
    fail(key, fmt::format("must be one whole number from 1 to {}", kLargest));
  return static_cast<std::uint32_t>(*value);
}

std::optional<double> MetadataReader::positive(std::string_view key) const {
  if (!contains(key)) return std::nullopt;
  const auto value = metadata_.real(full(key));
  if (!value || !(*value > 0) || *value > std::numeric_limits<float>::max())
    fail(key, "must be a positive number");
  return shortest_float32(*value);
}

std::optional<bool> MetadataReader::flag(std::string_view key) const {
  const auto value = metadata_.boolean(full(key));
  if (!value && contains(key)) fail(key, "must be true or false");
  return value;
}

std::optional<std::string> MetadataReader::text(std::string_view key) const {
  auto value = metadata_.text(full(key));
  if (!value && contains(key)) fail(key, "must be a text");
  return value;
}

void MetadataReader::fail(std::string_view key, const std::string& what_is_wrong) const {
  throw BadFileError({.file = file_},
                     fmt::format("metadata key '{}' {}", printable(full(key)), what_is_wrong));
}

std::string MetadataReader::full(std::string_view key) const {
  return fmt::format("{}.{}", architecture_, key);
}

}  // namespace tessera::model
