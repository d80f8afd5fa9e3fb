#include "foundation/base/error.h"

#include <fmt/format.h>

#include <system_error>

#include "foundation/base/printable.h"

namespace tessera {
namespace {

std::string describe(const FilePlace& place, const std::string& what_is_wrong) {
  std::string text = place.file;
  if (!place.tensor.empty()) text += fmt::format(": tensor '{}'", printable(place.tensor));
  if (place.offset) text += fmt::format(": at byte {}", *place.offset);
  return text.empty() ? what_is_wrong : text + ": " + what_is_wrong;
}

}  // namespace

BadFileError::BadFileError(FilePlace place, const std::string& what_is_wrong)
    : Error(describe(place, what_is_wrong)), place_(std::move(place)) {}

IoError::IoError(const std::string& file, const std::string& operation, int error_number)
    : Error(
          fmt::format("{}: cannot {}: {}", file, operation, std::generic_category().message(error_number))) {}

}  // namespace tessera
